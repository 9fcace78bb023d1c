package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

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
	running, err := d.Running()
	if err != nil {
		return Client{}, fmt.Errorf("looking for the tool's Docker daemon: %w", err)
	}
	if running {
		return d.Client(), d.wait(ctx, nil)
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
	defer d.Log.Step("starting a Docker daemon in %s", d.Folder)()
	return d.Client(), d.start(ctx)
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
	ended := make(chan error, 1)
	go func() { ended <- endOf(cmd) }()
	p, err := currentProcess(cmd.Process.Pid)
	if err != nil {
		return fmt.Errorf("recording dockerd: %w", err)
	}
	if err := p.write(d.path("daemon.json")); err != nil {
		return fmt.Errorf("recording dockerd: %w", err)
	}
	return d.wait(ctx, ended)
}

// endOf waits for a daemon, for which even a clean end is an error.
func endOf(cmd *exec.Cmd) error {
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errors.New("exit status 0")
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

// wait returns when the daemon answers, or with the end of its log when it ended or took too long.
func (d Daemon) wait(ctx context.Context, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for !d.Client().Works(ctx) {
		select {
		case err := <-ended:
			return fmt.Errorf("dockerd ended at once (%w); its log %s ends with:\n%s", err, d.path("daemon.log"), d.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("dockerd does not answer: %w; its log %s ends with:\n%s", ctx.Err(), d.path("daemon.log"), d.logEnd())
		case <-ticker.C:
		}
	}
	return nil
}

func (d Daemon) logEnd() string {
	data, err := os.ReadFile(d.path("daemon.log"))
	if err != nil {
		return err.Error()
	}
	const enough = 1500
	return string(data[max(0, len(data)-enough):])
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
