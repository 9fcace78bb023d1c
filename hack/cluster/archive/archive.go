// Package archive writes container images to files without a container engine or a registry. The same
// inputs give the same bytes: every timestamp is zero and files are sorted.
package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one file of an image layer: copied from Source, or a link, or Data.
type File struct {
	Path   string // absolute, in the image
	Mode   int64
	Source string
	Link   string
	Data   []byte
}

// Image is one image and every name that it answers to.
type Image struct {
	Names      []string
	Layers     []v1.Layer
	Entrypoint []string
	Cmd        []string
}

// path of every distribution's root; entrypoints of static pods are bare names.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Layer packs files into an image layer.
func Layer(files []File) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	if err := WriteFiles(w, files, nil); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ending layer: %w", err)
	}
	return layer(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil })
}

// LayerFromTar uses a root file system archive as a layer.
func LayerFromTar(file string) (v1.Layer, error) {
	return layer(func() (io.ReadCloser, error) { return os.Open(file) })
}

// layer compresses lightly: archives travel over a local socket, where time costs more than size.
func layer(open tarball.Opener) (v1.Layer, error) {
	return tarball.LayerFromOpener(open, tarball.WithCompressionLevel(gzip.BestSpeed))
}

// WriteFiles appends files to a tar stream, and the folders that they need unless the stream has them already.
func WriteFiles(w *tar.Writer, files []File, folders map[string]bool) error {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	made := map[string]bool{"/": true}
	maps.Copy(made, folders)
	for _, f := range files {
		if err := writeFolders(w, path.Dir(f.Path), made); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
		if err := writeFile(w, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

func writeFolders(w *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := writeFolders(w, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: entry(dir) + "/", Mode: 0o755, ModTime: epoch})
}

var epoch = time.Unix(0, 0)

func entry(absolute string) string { return strings.TrimPrefix(absolute, "/") }

func writeFile(w *tar.Writer, f File) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: entry(f.Path), Mode: f.Mode, ModTime: epoch}
	if f.Link != "" {
		header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.Link, 0o777
		return w.WriteHeader(header)
	}
	data := f.Data
	if f.Source != "" {
		var err error
		if data, err = os.ReadFile(f.Source); err != nil {
			return err
		}
	}
	header.Size = int64(len(data))
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// Write puts images into one archive that docker load and ctr import understand.
func Write(out string, images []Image) error {
	refs := map[name.Reference]v1.Image{}
	for _, im := range images {
		built, err := build(im)
		if err != nil {
			return fmt.Errorf("image %s: %w", strings.Join(im.Names, ", "), err)
		}
		for _, n := range im.Names {
			tag, err := name.NewTag(n)
			if err != nil {
				return fmt.Errorf("image name %s: %w", n, err)
			}
			refs[tag] = built
		}
	}
	partial := out + ".partial"
	if err := tarball.MultiRefWriteToFile(partial, refs); err != nil {
		return fmt.Errorf("writing %s: %w", partial, err)
	}
	return os.Rename(partial, out)
}
