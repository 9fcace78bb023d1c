package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type value struct{ Text string }

func openValues(t *testing.T, dir string) *Folder[value] {
	t.Helper()
	f, err := OpenFolder[value](dir)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "records")
	f := openValues(t, dir)
	for key, text := range map[string]string{"b": "2", "a": "1", "c": "0"} {
		if err := f.Put(key, value{text}); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"c", "c", "never"} {
		if err := f.Delete(key); err != nil {
			t.Error(err)
		}
	}
	if err := f.Put("b", value{"3"}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Folder[value]{f, openValues(t, dir)} {
		if diff := cmp.Diff([]value{{"1"}, {"3"}}, f.All()); diff != "" {
			t.Error(diff)
		}
		if got, ok := f.Get("b"); !ok || got.Text != "3" {
			t.Errorf("got %v, %v", got, ok)
		}
	}
	for path, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "a.json"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
}

func TestFolderRefusesPaths(t *testing.T) {
	f := openValues(t, t.TempDir())
	for _, key := range []string{"", "../x", ".x", "a/b", "a\x00"} {
		if f.Put(key, value{}) == nil || f.Delete(key) == nil {
			t.Errorf("%q is taken", key)
		}
	}
}

func TestFolderSetsDamageAside(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"half.json": `{"Te`, unfinished + "1": "x", "good.json": `{"Text":"1"}`, "other": "x"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := openValues(t, dir)
	if len(f.All()) != 1 || len(f.Damaged()) != 1 || !strings.Contains(f.Damaged()[0].Error(), "half.json.damaged") {
		t.Errorf("all %v, damaged %v", f.All(), f.Damaged())
	}
	if _, err := os.Stat(filepath.Join(dir, unfinished+"1")); !os.IsNotExist(err) {
		t.Errorf("what a crash left is still there: %v", err)
	}
}
