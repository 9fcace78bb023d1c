package vm

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/command"
)

// ramdisk is the guest's whole file system: busybox, our modules and the first process.
type ramdisk struct {
	tree    string // the unpacked packages
	root    string // what goes into it
	version string // of the kernel
}

func (r ramdisk) make(ctx context.Context, target string) error {
	for _, dir := range []string{"bin", "proc", "sys", "dev", "run", "tmp", "repository", "control", "etc/modprobe.d"} {
		if err := os.MkdirAll(filepath.Join(r.root, dir), 0o755); err != nil {
			return err
		}
	}
	// The kernel looks for modprobe in /sbin.
	if err := os.Symlink("bin", filepath.Join(r.root, "sbin")); err != nil {
		return err
	}
	busybox, err := os.ReadFile(r.busybox())
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		"bin/busybox": busybox, "init": []byte(initScript), "modules": []byte(strings.Join(modules, "\n")),
		"etc/modprobe.d/multinet.conf": []byte(moduleOptions),
	} {
		if err := os.WriteFile(filepath.Join(r.root, name), data, 0o755); err != nil {
			return err
		}
	}
	if err := r.addModules(ctx); err != nil {
		return err
	}
	return r.pack(ctx, target)
}

// busybox is static and so runs on this machine too, which need not have cpio, xz or depmod.
func (r ramdisk) busybox() string { return filepath.Join(r.tree, "usr", "bin", "busybox") }

func (r ramdisk) addModules(ctx context.Context) error {
	// Debian's package comes without the list, since its installation makes it.
	dependencies, err := command.New(r.busybox(), "depmod", "-n", "-b", filepath.Join(r.tree, "usr"), r.version).Run(ctx)
	if err != nil {
		return err
	}
	files, err := closure(dependencies, append(slices.Clone(modules), DiskModules...))
	if err != nil {
		return err
	}
	folder := filepath.Join("lib", "modules", r.version)
	for _, file := range files {
		plain, err := command.New(r.busybox(), "xzcat", filepath.Join(r.tree, "usr", folder, file)).Run(ctx)
		if err != nil {
			return err
		}
		target := filepath.Join(r.root, folder, strings.TrimSuffix(file, ".xz"))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, []byte(plain), 0o644); err != nil {
			return err
		}
	}
	_, err = command.New(r.busybox(), "depmod", "-b", r.root, r.version).Run(ctx)
	return err
}

// closure returns the files of modules and of all that they depend on, from the lines "file: file file" of modules.dep.
func closure(dependencies string, names []string) ([]string, error) {
	lines := map[string][]string{}
	for line := range strings.Lines(dependencies) {
		file, needs, found := strings.Cut(strings.TrimSpace(line), ":")
		if found && strings.HasSuffix(file, ".ko.xz") {
			lines[moduleName(file)] = append([]string{file}, strings.Fields(needs)...)
		}
	}
	var files []string
	for _, name := range names {
		line, found := lines[moduleName(name)]
		if !found {
			return nil, fmt.Errorf("the kernel has no module %s", name)
		}
		files = append(files, line...)
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// moduleName of a file or of a module: the kernel takes - and _ for the same.
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(file), ".ko.xz"), "-", "_")
}

func (r ramdisk) pack(ctx context.Context, target string) error {
	out := command.New(r.busybox(), "sh", "-c", `"$0" find . | "$0" cpio -o -H newc >"$1"`, r.busybox(), target)
	out.Dir = r.root
	_, err := out.Run(ctx)
	return err
}
