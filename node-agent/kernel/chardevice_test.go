package kernel

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNumbers(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"vfio": "10:196\n", "odd": "ten\n"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "dev"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if major, minor, err := Sys(dir).Numbers("vfio"); major != 10 || minor != 196 || err != nil {
		t.Errorf("%d:%d, %v", major, minor, err)
	}
	for _, entry := range []string{"odd", "absent"} {
		if _, _, err := Sys(dir).Numbers(entry); err == nil {
			t.Errorf("%s has numbers", entry)
		}
	}
}
