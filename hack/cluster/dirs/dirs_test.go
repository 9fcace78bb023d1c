package dirs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFromEnvironment(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want Dirs
	}{
		"home":          {map[string]string{"HOME": "/h"}, Dirs{"/h/.cache/multinet", defaultState}},
		"XDG":           {map[string]string{"HOME": "/h", "XDG_CACHE_HOME": "/x"}, Dirs{"/x/multinet", defaultState}},
		"own variables": {map[string]string{CacheVariable: "/c", StateVariable: "/s"}, Dirs{"/c", "/s"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := FromEnvironment(func(k string) string { return test.env[k] })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if _, err := FromEnvironment(func(string) string { return "" }); err == nil {
		t.Error("without any variable there is no folder for caches")
	}
}

func TestRepository(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "demo", "cluster")
	marker := filepath.Join(root, repositoryMarker)
	for _, dir := range []string{deep, filepath.Dir(marker)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Repository(deep); err == nil || !strings.Contains(err.Error(), "not inside a checkout") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(marker, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Repository(deep); err != nil || got != root {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestLock(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "made")
	note := func(string, ...any) {}
	first, err := Acquire(t.Context(), folder, 0, note)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Acquire(t.Context(), folder, 0, note)
	want := fmt.Sprintf("another run of this tool (process %d) holds %s/lock: wait until it has ended", os.Getpid(), folder)
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Acquire(t.Context(), folder, 0, note)
	if err != nil {
		t.Fatalf("a released lock is free: %v", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}
