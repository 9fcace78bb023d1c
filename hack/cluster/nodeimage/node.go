package nodeimage

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/archive"
	"github.com/multinet-dev/multinet/hack/cluster/binaries"
)

// unwanted are the units that kind's base image removes as well: they would fight over the host's devices
// and mounts. The first matches files, the others everything in a folder whose name matches.
func unwanted(file string) bool {
	dir, base := path.Split(strings.TrimPrefix(path.Clean("/"+file), "/usr"))
	switch {
	case base == "":
		return false
	case dir == "/lib/systemd/system/sysinit.target.wants/":
		return base == "systemd-tmpfiles-setup.service"
	case dir == "/lib/systemd/system/sockets.target.wants/":
		return strings.Contains(base, "udev") || strings.Contains(base, "initctl")
	case strings.HasPrefix(dir, "/etc/systemd/system/") && strings.HasSuffix(dir, ".wants/"):
		return true
	}
	return dir == "/lib/systemd/system/multi-user.target.wants/" || dir == "/lib/systemd/system/local-fs.target.wants/" ||
		dir == "/lib/systemd/system/basic.target.wants/"
}

// writeNode streams the node's root file system: Debian's, without the unwanted units, with ours on top.
func writeNode(out io.Writer, rootfs string, files []archive.File) error {
	in, err := os.Open(rootfs)
	if err != nil {
		return err
	}
	defer in.Close()
	w := tar.NewWriter(out)
	folders, err := copyWanted(w, tar.NewReader(in), replaced(files))
	if err != nil {
		return fmt.Errorf("copying %s: %w", filepath.Base(rootfs), err)
	}
	// Docker refuses archives in which a path comes twice, folders included.
	if err := archive.WriteFiles(w, files, folders); err != nil {
		return err
	}
	return w.Close()
}

func replaced(files []archive.File) map[string]bool {
	set := map[string]bool{}
	for _, f := range files {
		set[f.Path] = true
	}
	return set
}

// copyWanted returns the folders that it has written.
func copyWanted(w *tar.Writer, r *tar.Reader, replaced map[string]bool) (map[string]bool, error) {
	folders := map[string]bool{}
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return folders, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean("/" + header.Name)
		if header.Typeflag == tar.TypeDir {
			folders[name] = true
		} else if replaced[name] || unwanted(name) {
			continue
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if _, err := io.Copy(w, r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
}

// nodeFiles is everything that a kind node has on top of Debian.
func (b Builder) nodeFiles(ctx context.Context) ([]archive.File, error) {
	folder, err := b.kindFiles(ctx)
	if err != nil {
		return nil, err
	}
	files, err := staticFiles(folder)
	if err != nil {
		return nil, err
	}
	spec, err := b.baseSpec(ctx)
	if err != nil {
		return nil, err
	}
	files = append(files, archive.File{Path: "/etc/containerd/cri-base.json", Mode: 0o644, Data: spec})
	files = append(files, b.nodePrograms()...)
	own, err := ownFiles()
	if err != nil {
		return nil, err
	}
	version := archive.File{Path: "/kind/version", Mode: 0o644, Data: []byte(b.Set.Kubernetes.Version)}
	return append(append(files, version), own...), nil
}

// staticFiles takes kind's files with the modes that its Dockerfile gives them.
func staticFiles(folder string) ([]archive.File, error) {
	var files []archive.File
	err := filepath.WalkDir(folder, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(folder, file)
		if err != nil {
			return err
		}
		f := archive.File{Path: "/" + relative, Mode: 0o644}
		if strings.HasPrefix(f.Path, "/usr/local/bin/") || strings.HasPrefix(f.Path, "/kind/bin/") {
			f.Mode = 0o755
		}
		if f.Data, err = os.ReadFile(file); err != nil {
			return err
		}
		if f.Path == "/etc/containerd/config.toml" {
			if f.Data, err = containerdConfig(f.Data); err != nil {
				return err
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading kind's static files: %w", err)
	}
	return files, nil
}

func (b Builder) nodePrograms() []archive.File {
	var files []archive.File
	add := func(m binaries.Module, folder string, names ...string) {
		for _, n := range names {
			files = append(files, archive.File{Path: path.Join(folder, n), Mode: 0o755, Source: filepath.Join(b.Programs.Folder(m), n)})
		}
	}
	add(b.Set.Kubernetes, "/usr/bin", "kubeadm", "kubelet", "kubectl")
	for _, t := range b.Set.Containerd.Tools {
		add(b.Set.Containerd, "/usr/local/bin", t.Binary)
	}
	for _, t := range b.Set.CNI.Tools {
		add(b.Set.CNI, "/opt/cni/bin", t.Binary)
	}
	return files
}

// ownFiles are this repository's additions and the links that systemctl would have made.
func ownFiles() ([]archive.File, error) {
	script, err := recipe.ReadFile("files/multinet-primary")
	if err != nil {
		return nil, err
	}
	unit, err := recipe.ReadFile("files/multinet-primary.service")
	if err != nil {
		return nil, err
	}
	const units = "/etc/systemd/system/"
	files := []archive.File{
		{Path: "/usr/local/bin/multinet-primary", Mode: 0o755, Data: script},
		{Path: units + "multinet-primary.service", Mode: 0o644, Data: unit},
		{Path: units + "systemd-binfmt.service", Link: "/dev/null"},
		{Path: "/usr/sbin/init", Link: "/usr/lib/systemd/systemd"},
		{Path: "/etc/systemd/journald.conf.d/kind.conf", Mode: 0o644, Data: []byte("[Journal]\nReadKMsg=no\n")},
		// kubeadm expects the folder; an archive of files has it only with something in it.
		{Path: "/etc/kubernetes/manifests/.keep", Mode: 0o644},
	}
	for _, name := range []string{"kubelet", "containerd", "undo-mount-hacks", "multinet-primary"} {
		files = append(files, archive.File{
			Path: units + "multi-user.target.wants/" + name + ".service", Link: units + name + ".service",
		})
	}
	return files, nil
}
