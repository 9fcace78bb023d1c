package qos

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// pins is a folder of a bpffs, in which programs and tables outlive the process. Its version is that of the tables' layout:
//
//	v1/guards                      what the programs on pods' links do
//	v1/pods/<MAC>                  such a program on a link
//	v1/links/<index>-<direction>   a classifier on a link of the node, and with -places its table if it has one of its own
type pins struct{ root string }

const (
	layout    = "v1"
	podsDir   = "pods"
	linksDir  = "links"
	guardsPin = "guards"
)

// errNoBPFFS tells that there is no bpffs where it should be.
var errNoBPFFS = errors.New("no BPF file system is mounted at /sys/fs/bpf of the node: mount it (mount -t bpf bpf /sys/fs/bpf, as systemd does on most systems)")

// prepare makes the folders.
func (p pins) prepare() error {
	var stat unix.Statfs_t
	if err := unix.Statfs(filepath.Dir(p.root), &stat); err != nil || stat.Type != unix.BPF_FS_MAGIC {
		return errNoBPFFS
	}
	for _, dir := range []string{podsDir, linksDir} {
		if err := os.MkdirAll(p.path(dir, ""), 0o700); err != nil {
			return fmt.Errorf("pin programs: %w", err)
		}
	}
	return nil
}

func (p pins) path(dir, name string) string { return filepath.Join(p.root, layout, dir, name) }

// list returns the names of a folder, none where there is no folder.
func (p pins) list(dir string) (names []string, err error) {
	entries, err := os.ReadDir(p.path(dir, ""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list pinned programs: %w", err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}

// remove takes a program off its link, unless somebody else holds it, and forgets a table.
func (p pins) remove(dir, name string) error {
	if err := os.Remove(p.path(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpin: %w", err)
	}
	return nil
}

// table opens a table, or makes it and pins it.
func (p pins) table(dir, name string, create func(string) (*ebpf.Map, error)) (*ebpf.Map, error) {
	path := p.path(dir, name)
	found, err := ebpf.LoadPinnedMap(path, nil)
	if err == nil {
		return found, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open table %s: %w", name, err)
	}
	made, err := create("multinet")
	if err != nil {
		return nil, fmt.Errorf("make table %s: %w", name, err)
	}
	if err := made.Pin(path); err != nil {
		_ = made.Close()
		return nil, fmt.Errorf("pin table %s: %w", name, err)
	}
	return made, nil
}

// attached returns the link of a pinned program and the index of the interface that it is on; nil where it is on none any more.
func (p pins) attached(dir, name string) (link.Link, int, error) {
	found, err := link.LoadPinnedLink(p.path(dir, name), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open program %s: %w", name, err)
	}
	info, err := found.Info()
	if err != nil {
		_ = found.Close()
		return nil, 0, fmt.Errorf("look at program %s: %w", name, err)
	}
	if info.TCX() == nil || info.TCX().Ifindex == 0 {
		return nil, 0, found.Close()
	}
	return found, int(info.TCX().Ifindex), nil
}

// runs tells whether the program of a link has a name.
func runs(on link.Link, name string) (bool, error) {
	info, err := on.Info()
	if err != nil {
		return false, fmt.Errorf("look at a program: %w", err)
	}
	program, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return false, fmt.Errorf("look at a program: %w", err)
	}
	defer program.Close()
	has, err := program.Info()
	if err != nil {
		return false, fmt.Errorf("look at a program: %w", err)
	}
	return has.Name == name, nil
}

// attach puts a program ahead of all others on an interface of the calling thread's namespace, and pins it in the place of
// what is pinned there. What follows it may still decide otherwise, which is the affair of whoever put it there.
func (p pins) attach(dir, name string, program *ebpf.Program, index int, at ebpf.AttachType) error {
	made, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: at, Anchor: link.Head()})
	if err != nil {
		return fmt.Errorf("attach program: %w", err)
	}
	defer made.Close()
	path := p.path(dir, name)
	err = made.Pin(path)
	if errors.Is(err, fs.ErrExist) {
		if err = os.Remove(path); err == nil {
			err = made.Pin(path)
		}
	}
	if err != nil {
		return fmt.Errorf("pin program: %w", err)
	}
	return nil
}
