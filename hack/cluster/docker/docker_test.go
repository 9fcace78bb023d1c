package docker

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartTime(t *testing.T) {
	// The name of a process may look like the end of the name.
	stat := "42 (a) b)) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1000 10"
	got, err := startTime(stat)
	if err != nil || got != "98765" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := startTime("42 (a) S"); err == nil {
		t.Error("a short line must be an error")
	}
}

func TestProcessIsStoppedOnlyIfItIsTheRecordedOne(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // a signal ends it, which Wait reports as an error
	}()
	p, err := currentProcess(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	other := process{PID: p.PID, Started: "1"}
	if err := other.stop(time.Second); err != nil || !p.alive() {
		t.Fatalf("a process with a recycled id must be left alone: %v", err)
	}
	if err := p.stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	<-ended
	if p.alive() {
		t.Error("the recorded process must have ended")
	}
	if err := p.stop(time.Second); err != nil {
		t.Errorf("stopping what has ended succeeds: %v", err)
	}
}

func TestProcessRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "daemon.json")
	want := process{PID: os.Getpid(), Started: "5"}
	if err := want.write(path); err != nil {
		t.Fatal(err)
	}
	if got, err := readProcess(path); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDaemonKeepsToItsFolder(t *testing.T) {
	d := Daemon{Folder: "/state/docker"}
	args := d.arguments("/state/docker/multinet-runc")
	for option, value := range map[string]string{
		"--host": "unix:///state/docker/docker.sock", "--data-root": "/state/docker/data",
		"--exec-root": "/state/docker/exec", "--pidfile": "/state/docker/docker.pid",
	} {
		i := slices.Index(args, option)
		if i < 0 || args[i+1] != value {
			t.Errorf("%s is not %s: %v", option, value, args)
		}
	}
}

// The table is that of a machine on which the daemon has mounted its data on themselves, and a container's file system there.
func TestMountsBelow(t *testing.T) {
	const table = `29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
80 29 254:0 /state/docker/data /state/docker/data rw,relatime - ext4 /dev/vda rw
81 80 0:50 / /state/docker/data/overlay2/1/merged rw,relatime - overlay overlay rw,lowerdir=/a
82 29 0:51 / /state/docker-of-another rw - tmpfs tmpfs rw
83 29 0:52 / /state/docker rw - tmpfs tmpfs rw
`
	want := []string{"/state/docker/data", "/state/docker/data/overlay2/1/merged"}
	if got := mountsBelow("/state/docker", table); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A folder in which something is mounted cannot be removed.
func TestStopUnmounts(t *testing.T) {
	d := Daemon{Folder: filepath.Join(t.TempDir(), "docker")}
	data := d.path("data")
	if err := os.MkdirAll(data, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(data, data, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(d.Folder); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestNoDaemonRecordedMeansNotRunning(t *testing.T) {
	running, err := Daemon{Folder: t.TempDir()}.Running()
	if running || err != nil {
		t.Errorf("got %v, %v", running, err)
	}
}

func TestEndedDaemonIsNotWaitedFor(t *testing.T) {
	d := Daemon{Folder: t.TempDir()}
	if err := (process{PID: os.Getpid(), Started: "recycled"}).write(d.path("daemon.json")); err != nil {
		t.Fatal(err)
	}
	if found, err := d.waitForRunning(t.Context()); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	if revived, err := d.Revive(t.Context()); revived || err != nil {
		t.Errorf("nothing was kept, so nothing is revived: %v, %v", revived, err)
	}
}
