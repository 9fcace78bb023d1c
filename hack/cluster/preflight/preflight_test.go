package preflight

import (
	"strings"
	"testing"
)

// good is a machine on which everything is there.
func good() Facts {
	return Facts{
		OS: "linux", Root: true, Go: true, DockerWorks: true, Dockerd: true, Apt: true, Mmdebstrap: true,
		State: Folder{"/var/lib/multinet-dev", 50 << 10}, Cache: Folder{"/root/.cache/multinet", 50 << 10},
		MemoryMiB: 8000, Inotify: 512, Workers: 2,
	}
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		change func(*Facts)
		want   string // empty: no problem
	}{
		"good":                   {func(*Facts) {}, ""},
		"not Linux":              {func(f *Facts) { f.OS = "darwin" }, "runs on Linux only, not on darwin"},
		"no Go":                  {func(f *Facts) { f.Go = false }, "install Go 1.26"},
		"not root, Docker works": {func(f *Facts) { f.Root = false }, ""},
		"not root, no Docker": {
			func(f *Facts) { f.Root, f.DockerWorks = false, false }, "starting one needs root: run the tool as root",
		},
		"no Docker, installable": {func(f *Facts) { f.DockerWorks, f.Dockerd = false, false }, ""},
		"no Docker, no apt": {
			func(f *Facts) { f.DockerWorks, f.Dockerd, f.Apt = false, false, false }, "no apt-get to install it with: install Docker by hand",
		},
		"Docker stopped, no apt, no mmdebstrap": {
			func(f *Facts) { f.DockerWorks, f.Apt, f.Mmdebstrap = false, false, false }, "needs mmdebstrap",
		},
		"socket of somebody else": {
			func(f *Facts) { f.DockerWorks, f.SocketServed = false, true }, "another Docker daemon serves a socket in /var/lib/multinet-dev",
		},
		"state folder too deep": {
			func(f *Facts) { f.DockerWorks, f.State.Path = false, "/"+strings.Repeat("a", 80) }, "set MULTINET_STATE to a shorter one",
		},
		"disk nearly full, cold": {
			func(f *Facts) { f.Cache.FreeMiB = 5 << 10 }, "/root/.cache/multinet has 5.0 GiB free, 15 GiB are needed: free some space",
		},
		"the same, warm": {func(f *Facts) { f.Cache.FreeMiB, f.ImageCached = 5<<10, true }, ""},
		"disk full, warm": {
			func(f *Facts) { f.State.FreeMiB, f.ImageCached = 0, true }, "/var/lib/multinet-dev has 0.0 GiB free, 4 GiB are needed",
		},
		"little memory": {func(f *Facts) { f.MemoryMiB = 500 }, "500 MiB of memory are available, a cluster with 2 workers needs 1100"},
		"few inotify instances": {
			func(f *Facts) { f.Inotify, f.Workers = 128, 8 }, "run `sysctl fs.inotify.max_user_instances=512`",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			facts := good()
			test.change(&facts)
			err := Check(facts)
			if test.want == "" {
				if err != nil {
					t.Errorf("unexpected problem: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("one cause, one sentence: %v", err)
			}
		})
	}
}

func TestCheckTellsEverythingAtOnce(t *testing.T) {
	f := good()
	f.MemoryMiB, f.State.FreeMiB = 0, 0
	err := Check(f)
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two problems are expected, got %v", err)
	}
}

func TestParseAvailable(t *testing.T) {
	got, err := parseAvailable("MemTotal:  9 kB\nMemAvailable:    2048000 kB\n")
	if err != nil || got != 2000 {
		t.Errorf("got %d, %v", got, err)
	}
}
