// Package preflight looks at the machine before anything is changed on it, and says in one sentence each
// what is missing and what to do about it.
package preflight

import (
	"errors"
	"fmt"
)

// Facts are what the checks are made on.
type Facts struct {
	OS           string
	Root         bool
	Go           bool // the go command is there
	DockerWorks  bool // the user's, or the tool's own that already runs
	Dockerd      bool // installed, so that the tool can start it
	Apt          bool
	Mmdebstrap   bool
	ImageCached  bool // the node image needs no build
	SocketServed bool // somebody else answers on the tool's own Docker socket
	State        Folder
	Cache        Folder
	MemoryMiB    uint64 // available
	Inotify      uint64 // fs.inotify.max_user_instances
	Workers      int
}

// Folder is a place and what is free there.
type Folder struct {
	Path    string
	FreeMiB uint64
}

// What a cluster needs at least, measured on a cold and a warm run.
const (
	coldDiskMiB     = 15 * 1024
	warmDiskMiB     = 4 * 1024
	controlPlaneMiB = 700
	workerMiB       = 200
	inotifyPerNode  = 24
	// maxStatePath leaves room below the kernel's 107 bytes for a socket's path.
	maxStatePath = 60
)

// Check returns every problem at once, joined; nil if the machine will do.
func Check(f Facts) error {
	checks := []func(Facts) error{system, docker, disk, memory, inotify}
	var problems []error
	for _, check := range checks {
		if err := check(f); err != nil {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func system(f Facts) error {
	if f.OS != "linux" {
		return fmt.Errorf("this tool runs on Linux only, not on %s: use a Linux virtual machine", f.OS)
	}
	if !f.Go {
		return errors.New("the go command is not in PATH: install Go 1.26 or newer from https://go.dev/dl")
	}
	return nil
}

// docker is fine if a daemon answers; otherwise the tool has to be able to run one of its own.
func docker(f Facts) error {
	switch {
	case f.DockerWorks:
		return imageTools(f)
	case !f.Root:
		return errors.New("no Docker daemon answers, and starting one needs root: run the tool as root, or give your user a working Docker")
	case !f.Dockerd && !f.Apt:
		return errors.New("no Docker is installed and this machine has no apt-get to install it with: install Docker by hand and run the tool again")
	case f.SocketServed:
		return fmt.Errorf("another Docker daemon serves a socket in %s: stop it, or set MULTINET_STATE to another folder", f.State.Path)
	case len(f.State.Path) > maxStatePath:
		return fmt.Errorf("the state folder %s has a path of more than %d bytes, too long for sockets in it: set MULTINET_STATE to a shorter one", f.State.Path, maxStatePath)
	}
	return imageTools(f)
}

// imageTools matter only if the image has to be built; whether it can be pulled instead turns out later, so
// that a working Docker is given the benefit of the doubt.
func imageTools(f Facts) error {
	if f.ImageCached || f.Mmdebstrap || f.Apt || f.DockerWorks {
		return nil
	}
	return errors.New("building the node image needs mmdebstrap, and this machine has no apt-get to install it with: install mmdebstrap, or use a Docker that reaches a registry")
}

func disk(f Facts) error {
	need := uint64(coldDiskMiB)
	if f.ImageCached {
		need = warmDiskMiB
	}
	var problems []error
	for _, folder := range []Folder{f.State, f.Cache} {
		if folder.FreeMiB < need {
			problems = append(problems, fmt.Errorf("%s has %.1f GiB free, %.0f GiB are needed: free some space, or move the folder with MULTINET_STATE or MULTINET_CACHE",
				folder.Path, float64(folder.FreeMiB)/1024, float64(need)/1024))
		}
	}
	return errors.Join(problems...)
}

func memory(f Facts) error {
	need := uint64(controlPlaneMiB + f.Workers*workerMiB)
	if f.MemoryMiB >= need {
		return nil
	}
	return fmt.Errorf("%d MiB of memory are available, a cluster with %d workers needs %d: stop something, or ask for fewer workers", f.MemoryMiB, f.Workers, need)
}

func inotify(f Facts) error {
	need := uint64((f.Workers + 1) * inotifyPerNode)
	if f.Inotify >= need {
		return nil
	}
	return fmt.Errorf("fs.inotify.max_user_instances is %d, nodes would fail with \"too many open files\": run `sysctl fs.inotify.max_user_instances=%d`", f.Inotify, max(need, 512))
}
