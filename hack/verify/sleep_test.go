package verify

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// TestNoTestSleeps: a test waits for a condition, or has the clock of testing/synctest.
func TestNoTestSleeps(t *testing.T) {
	for _, file := range sleepers(t, os.DirFS(root)) {
		t.Errorf("%s calls time.Sleep: wait for a condition, or use testing/synctest", file)
	}
}

func TestSleepersAreFound(t *testing.T) {
	got := sleepers(t, fstest.MapFS{
		"a/a_test.go": {Data: []byte("package a\nfunc f() { time." + "Sleep(1) }\n")},
		"a/b_test.go": {Data: []byte("package a\nimport \"testing/synctest\"\nfunc f() { time." + "Sleep(1) }\n")},
		"a/c.go":      {Data: []byte("package a\nfunc f() { time." + "Sleep(1) }\n")},
	})
	if want := []string{"a/a_test.go"}; !slices.Equal(got, want) {
		t.Errorf("found %v, want %v", got, want)
	}
}

func sleepers(t *testing.T, files fs.FS) (found []string) {
	t.Helper()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path.Base(name), "_test.go") {
			return err
		}
		text, err := fs.ReadFile(files, name)
		if strings.Contains(string(text), "time."+"Sleep(") && !strings.Contains(string(text), `"testing/synctest"`) {
			found = append(found, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
