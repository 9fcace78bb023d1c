package archive

import (
	"fmt"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func build(im Image) (v1.Image, error) {
	withLayers, err := mutate.AppendLayers(empty.Image, im.Layers...)
	if err != nil {
		return nil, fmt.Errorf("adding layers: %w", err)
	}
	file, err := withLayers.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading config: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: im.Entrypoint, Cmd: im.Cmd, Env: []string{searchPath}}
	return mutate.ConfigFile(withLayers, file)
}

// Binaries is the image of static programs in /usr/local/bin; the first is what a container runs.
func Binaries(imageName string, programs []string) (Image, error) {
	if len(programs) == 0 {
		return Image{}, fmt.Errorf("image %s: no program given", imageName)
	}
	var files []File
	for _, p := range programs {
		files = append(files, File{Path: "/usr/local/bin/" + filepath.Base(p), Mode: 0o755, Source: p})
	}
	l, err := Layer(files)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", imageName, err)
	}
	entrypoint := []string{"/usr/local/bin/" + filepath.Base(programs[0])}
	return Image{Names: []string{imageName}, Layers: []v1.Layer{l}, Entrypoint: entrypoint}, nil
}
