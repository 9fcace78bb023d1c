package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/hack/cluster/apt"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
	"github.com/multinet-dev/multinet/hack/cluster/runcwrap"
)

// Daemon is the Docker daemon that the tool starts on machines where none works. Everything it owns lies in
// one folder, its socket too, so that nothing of the user's is touched.
type Daemon struct {
	Folder string
	Log    *progress.Log
}

func (d Daemon) path(name string) string { return filepath.Join(d.Folder, name) }

// Client talks to this daemon.
func (d Daemon) Client() Client { return Client{Host: "unix://" + d.path("docker.sock")} }

// Running says whether the daemon that this tool started still runs.
func (d Daemon) Running() (bool, error) {
	p, err := readProcess(d.path("daemon.json"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && p.alive(), err
}

// Ensure returns a client for a Docker that works: the tool's own if it already runs (its clusters live
// there), else the user's, else one that it starts now.
func (d Daemon) Ensure(ctx context.Context) (Client, error) {
	found, err := d.waitForRunning(ctx)
	if err != nil {
		return Client{}, fmt.Errorf("looking for the tool's Docker daemon: %w", err)
	}
	if found {
		return d.Client(), nil
	}
	if _, err := exec.LookPath("docker"); err == nil && (Client{}).Works(ctx) {
		return Client{}, nil
	}
	if err := d.install(ctx); err != nil {
		return Client{}, err
	}
	// Where systemd runs, the package has just started its own service.
	if (Client{}).Works(ctx) {
		return Client{}, nil
	}
	return d.Client(), d.start(ctx)
}

// Revive starts the daemon again if it kept anything: what it made on the machine, such as bridges, only it
// takes away. It returns false if there is nothing to revive.
func (d Daemon) Revive(ctx context.Context) (bool, error) {
	if _, err := os.Stat(d.path("data")); errors.Is(err, os.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	found, err := d.waitForRunning(ctx)
	if err != nil || found {
		return found, err
	}
	return true, d.start(ctx)
}

// install gets the daemon from the distribution.
func (d Daemon) install(ctx context.Context) error {
	_, daemon := exec.LookPath("dockerd")
	_, client := exec.LookPath("docker")
	if daemon == nil && client == nil {
		return nil
	}
	defer d.Log.Step("installing docker.io with apt-get")()
	return apt.Install(ctx, "docker.io")
}

func (d Daemon) start(ctx context.Context) error {
	defer d.Log.Step("starting a Docker daemon in %s", d.Folder)()
	if err := os.MkdirAll(d.Folder, 0o755); err != nil {
		return fmt.Errorf("making Docker's folder: %w", err)
	}
	wrapper := d.path(runcwrap.Name)
	if err := copySelf(wrapper); err != nil {
		return fmt.Errorf("placing the runc wrapper: %w", err)
	}
	log, err := os.OpenFile(d.path("daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("opening Docker's log: %w", err)
	}
	defer log.Close()
	cmd := exec.Command("dockerd", d.arguments(wrapper)...)
	cmd.Stdout, cmd.Stderr = log, log
	// A session of its own: the daemon outlives this run, and Ctrl-C is not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting dockerd: %w", err)
	}
	go func() { _ = cmd.Wait() }() // a daemon that ended must not look alive as a zombie
	p, err := currentProcess(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("recording dockerd: %w", err)
	}
	if err := p.write(d.path("daemon.json")); err != nil {
		return fmt.Errorf("recording dockerd: %w", err)
	}
	return d.wait(ctx, p)
}

func (d Daemon) arguments(wrapper string) []string {
	return []string{
		"--host", d.Client().Host,
		"--data-root", d.path("data"),
		"--exec-root", d.path("exec"),
		"--pidfile", d.path("docker.pid"),
		// kind makes its own network; without this a docker0 would stay behind on the machine.
		"--bridge", "none",
		"--add-runtime", "multinet=" + wrapper,
		"--default-runtime", "multinet",
	}
}

// Stop ends the daemon, if it is the tool's own and runs, and removes everything it kept.
func (d Daemon) Stop() error {
	p, err := readProcess(d.path("daemon.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && p.alive() {
		done := d.Log.Step("stopping the Docker daemon (process %d)", p.PID)
		if err := p.stop(time.Minute); err != nil {
			return err
		}
		done()
	}
	if err := unmountBelow(d.Folder); err != nil {
		return err
	}
	if err := os.RemoveAll(d.Folder); err != nil {
		return fmt.Errorf("removing Docker's folder: %w", err)
	}
	return nil
}

// copySelf places a copy of this program, which takes its part from its name.
func copySelf(target string) error {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer self.Close()
	partial := target + ".partial"
	out, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, self)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return os.Rename(partial, target)
}

// unmountBelow ends what is mounted in a folder. The daemon mounts its data on themselves, and leaves that behind where it is in use as
// it ends.
func unmountBelow(folder string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("reading the mounts: %w", err)
	}
	for _, point := range slices.Backward(mountsBelow(folder, string(table))) {
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", point, err)
		}
	}
	return nil
}

// mountsBelow are the mount points in a folder that a table of /proc/<pid>/mountinfo names, in its order: those that came later stand
// on those before.
func mountsBelow(folder, table string) (points []string) {
	for line := range strings.Lines(table) {
		// The kernel writes spaces in names as octal numbers, which the tool's folders do not have.
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], folder+"/") {
			points = append(points, fields[4])
		}
	}
	return points
}
