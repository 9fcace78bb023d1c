package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestBinaries(t *testing.T) {
	dir := t.TempDir()
	agent, shim := filepath.Join(dir, "agent"), filepath.Join(dir, "shim")
	for _, p := range []string{agent, shim} {
		if err := os.WriteFile(p, []byte("program "+p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	image, err := Binaries("multinet.dev/agent:dev", []string{agent, shim})
	if err != nil {
		t.Fatal(err)
	}
	first, second := filepath.Join(dir, "1.tar"), filepath.Join(dir, "2.tar")
	for _, out := range []string{first, second} {
		if err := Write(out, []Image{image}); err != nil {
			t.Fatal(err)
		}
	}
	checkEqual(t, first, second)
	checkConfig(t, first, "multinet.dev/agent:dev", "/usr/local/bin/agent")
}

func checkEqual(t *testing.T, first, second string) {
	t.Helper()
	one, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("the same programs must give the same archive")
	}
}

func checkConfig(t *testing.T, file, tagName, entrypoint string) {
	t.Helper()
	tag, err := name.NewTag(tagName)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{entrypoint}, config.Config.Entrypoint); diff != "" {
		t.Errorf("entrypoint (-want +got)\n%s", diff)
	}
}

func TestBinariesRefuses(t *testing.T) {
	tests := map[string]struct {
		programs []string
		want     string
	}{
		"none":    {nil, "image a:b: no program given"},
		"missing": {[]string{"/does/not/exist"}, "image a:b: /usr/local/bin/exist: open /does/not/exist"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Binaries("a:b", test.programs); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestWriteRefusesBadName(t *testing.T) {
	err := Write(filepath.Join(t.TempDir(), "x.tar"), []Image{{Names: []string{"UPPER:case:twice"}}})
	if err == nil || !strings.Contains(err.Error(), "image name UPPER:case:twice") {
		t.Errorf("got %v", err)
	}
}
