package delegate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/go-logr/logr"
	"golang.org/x/sys/unix"
)

// searchPath is where plugins find the node's programs, such as nft.
const searchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// outputLimit is how long a plugin that has ended is waited for where others have its output open.
const outputLimit = 500 * time.Millisecond

// runner finds and starts plugins for libcni: on the node, as the container runtime would.
type runner struct {
	version.PluginDecoder
	log  logr.Logger
	node func(f func() error) error
	// links is the folder of links to plugins in binDir.
	links, binDir string
	// wanted are the plugins that get a link, in the order of their names.
	wanted []string

	mu     sync.Mutex
	linked []string
	said   string
}

// link makes the links of the wanted plugins that are there, removes all others, and returns the former.
func (r *runner) link() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	err := r.node(func() error {
		for _, plugin := range r.wanted {
			if info, err := os.Stat(filepath.Join(r.binDir, plugin)); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				found = append(found, plugin)
			}
		}
		_, err := os.Stat(r.binDir)
		return err
	})
	if err == nil {
		err = keepLinks(r.links, r.binDir, found)
	}
	r.say(err)
	if err != nil {
		found = nil
	}
	r.linked = found
	return found
}

// say logs what is wrong with the node's plugins once.
func (r *runner) say(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != r.said {
		r.log.Info("no CNI plugin can be run: see manifests/agent/cni-plugins.yaml", "cause", text)
	}
	r.said = text
}

// keepLinks makes a folder hold links to the named files of another folder, and nothing else.
func keepLinks(dir, to string, names []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("links to CNI plugins: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("links to CNI plugins: %w", err)
	}
	var errs []error
	right := map[string]bool{}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		target, _ := os.Readlink(path)
		right[entry.Name()] = slices.Contains(names, entry.Name()) && target == filepath.Join(to, entry.Name())
		if !right[entry.Name()] {
			errs = append(errs, os.RemoveAll(path))
		}
	}
	for _, name := range names {
		if !right[name] {
			errs = append(errs, os.Symlink(filepath.Join(to, name), filepath.Join(dir, name)))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("links to CNI plugins: %w", err)
	}
	return nil
}

// FindInPath returns the link to a plugin, whatever the path.
func (r *runner) FindInPath(plugin string, _ []string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.linked, plugin) {
		return "", fmt.Errorf("CNI plugin %q is not in %s of this node, or may not run", plugin, r.binDir)
	}
	return filepath.Join(r.links, plugin), nil
}

// ExecPlugin starts a plugin and waits for its end, or ends it, and all that it has started, with ctx.
func (r *runner) ExecPlugin(ctx context.Context, path string, stdin []byte, environ []string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	err := r.node(func() error {
		cmd := exec.CommandContext(ctx, path)
		cmd.Env, cmd.Dir = environment(environ), "/"
		cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
		// A plugin ends with the agent: the next one would undo what this one goes on to do.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }
		cmd.WaitDelay = outputLimit
		return cmd.Run()
	})
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ended, since it took too long: %w", ctx.Err())
	}
	if err != nil {
		return nil, toldBy(err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes(), nil
}

// environment is what the container runtime would give: nothing of the agent's own.
func environment(environ []string) []string {
	return append(slices.DeleteFunc(slices.Clone(environ), func(v string) bool { return !strings.HasPrefix(v, "CNI_") }), searchPath)
}

// toldBy is the error that a plugin has written, as the specification asks for, or what there is in its place.
func toldBy(err error, stdout, stderr []byte) error {
	var told types.Error
	if json.Unmarshal(stdout, &told) == nil && (told.Msg != "" || told.Code != 0) {
		return fmt.Errorf("%w (CNI error %d)", &told, told.Code)
	}
	if text := strings.TrimSpace(string(stderr)); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}
