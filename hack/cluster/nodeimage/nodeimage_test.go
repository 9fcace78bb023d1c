package nodeimage

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/hack/cluster/archive"
)

func TestChoose(t *testing.T) {
	yes, no := func() bool { return true }, func() bool { return false }
	pulls, fails := func() error { return nil }, func() error { return errors.New("toomanyrequests") }
	tests := map[string]struct {
		facts Facts
		want  Way
		err   string
	}{
		"registry in reach":               {facts: Facts{Registry: yes, PullSucceed: pulls}, want: Pull},
		"no registry":                     {facts: Facts{Registry: no}, want: Build},
		"registry answers, pull fails":    {facts: Facts{Registry: yes, PullSucceed: fails}, want: Build},
		"image pulled before, no network": {facts: Facts{HasPulled: true, Registry: no}, want: Pull},
		"image built before":              {facts: Facts{HasBuilt: true, HasPulled: true}, want: Build},
		"own daemon":                      {facts: Facts{OwnDocker: true}, want: Build},
		"build is forced":                 {facts: Facts{Forced: Build, HasPulled: true}, want: Build},
		"pull is forced":                  {facts: Facts{Forced: Pull, HasBuilt: true, PullSucceed: pulls}, want: Pull},
		"pull is forced and fails":        {facts: Facts{Forced: Pull, PullSucceed: fails}, err: "MULTINET_NODE_IMAGE=pull, but the image can't be pulled: toomanyrequests"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Choose(test.facts)
			if test.err != "" {
				if err == nil || err.Error() != test.err {
					t.Errorf("got %v, want %s", err, test.err)
				}
				return
			}
			if err != nil || got != test.want {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestParseWay(t *testing.T) {
	if w, err := ParseWay(true, "pull"); w != Build || err != nil {
		t.Errorf("the flag wins: %v, %v", w, err)
	}
	if _, err := ParseWay(false, "bild"); err == nil || !strings.Contains(err.Error(), `MULTINET_NODE_IMAGE=bild: it must be "build" or "pull"`) {
		t.Errorf("got %v", err)
	}
}

func TestUnwanted(t *testing.T) {
	tests := map[string]bool{
		"./usr/lib/systemd/system/multi-user.target.wants/getty.target":             true,
		"./lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service":  true,
		"./usr/lib/systemd/system/sysinit.target.wants/systemd-sysctl.service":      false,
		"./usr/lib/systemd/system/sockets.target.wants/systemd-udevd-kernel.socket": true,
		"./usr/lib/systemd/system/sockets.target.wants/dbus.socket":                 false,
		"./etc/systemd/system/timers.target.wants/apt-daily.timer":                  true,
		"./etc/systemd/journald.conf":                                               false,
		"./usr/bin/systemctl":                                                       false,
	}
	for path, want := range tests {
		if got := unwanted(path); got != want {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestContainerdConfig(t *testing.T) {
	got, err := containerdConfig([]byte("a\n  restrict_oom_score_adj = false\n"))
	if err != nil || string(got) != "a\n  restrict_oom_score_adj = true\n" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := containerdConfig(nil); err == nil {
		t.Error("a config that changed upstream must not pass unnoticed")
	}
}

func TestWithProductHook(t *testing.T) {
	got, err := withProductHook([]byte(`{"process":{"rlimits":[1],"cwd":"/"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var spec struct {
		Process map[string]any
		Hooks   struct{ CreateContainer []struct{ Path string } }
	}
	if err := json.Unmarshal(got, &spec); err != nil {
		t.Fatal(err)
	}
	if spec.Process["rlimits"] != nil || spec.Hooks.CreateContainer[0].Path != "/kind/bin/mount-product-files.sh" {
		t.Errorf("got %s", got)
	}
}

// Docker refuses an archive in which a path comes twice.
func TestWriteNodeHasEachPathOnce(t *testing.T) {
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	for _, name := range []string{"./", "./etc/", "./usr/", "./usr/sbin/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "./usr/sbin/init", Linkname: "other"}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	rootfs := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(rootfs, root.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	files := []archive.File{{Path: "/usr/sbin/init", Link: "/lib/systemd/systemd"}, {Path: "/etc/new/file", Data: []byte("x")}}
	if err := writeNode(&out, rootfs, files); err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Clean("/"+h.Name))
	}
	slices.Sort(names)
	want := []string{"/", "/etc", "/etc/new", "/etc/new/file", "/usr", "/usr/sbin", "/usr/sbin/init"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}
