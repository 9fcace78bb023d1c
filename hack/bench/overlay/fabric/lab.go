// Package fabric builds what the benchmark of overlays compares: pairs of nodes with a cable between them, and on each node
// one pod, joined by Multinet's overlay or by devices made by hand.
package fabric

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// Lab holds namespaces below one folder, so that all of them can be removed wherever a benchmark fails.
type Lab struct {
	dir        string
	namespaces map[string]*kernel.Namespace
	// pods are those of the present group, unused the last of them.
	pods, unused []string
}

// NewLab makes an empty laboratory.
func NewLab() (*Lab, error) {
	dir, err := os.MkdirTemp("", "multinet-bench-")
	return &Lab{dir: dir, namespaces: map[string]*kernel.Namespace{}}, err
}

// Close removes all namespaces that are left.
func (l *Lab) Close() error {
	var failed []error
	for path := range l.namespaces {
		failed = append(failed, l.remove(path))
	}
	return errors.Join(append(failed, os.Remove(l.dir))...)
}

func (l *Lab) namespace(name string) (*kernel.Namespace, error) {
	path := filepath.Join(l.dir, name)
	ns, err := kerneltest.CreateNamespace(path)
	if err != nil {
		if kerneltest.RemoveNamespace(path) != nil { // it was not pinned yet
			_ = os.Remove(path)
		}
		return nil, err
	}
	l.namespaces[path] = ns
	return ns, nil
}

func (l *Lab) remove(path string) error {
	ns := l.namespaces[path]
	delete(l.namespaces, path)
	return errors.Join(ns.Close(), kerneltest.RemoveNamespace(path))
}

// group is how many pods are made at a time. The kernel removes namespaces in the background, and what is measured meanwhile
// waits for it; it takes longer for the sysctls of a new one with each that is left.
const group = 20

// NewPod returns the path of a new namespace, which stays for a while.
func (l *Lab) NewPod() (path string, err error) {
	if len(l.unused) == 0 {
		if err := l.renewPods(); err != nil {
			return "", err
		}
	}
	path = l.unused[0]
	l.unused = l.unused[1:]
	return path, nil
}

func (l *Lab) renewPods() error {
	for _, path := range l.pods {
		if err := l.remove(path); err != nil {
			return err
		}
	}
	l.pods = nil
	for i := range group {
		pod, err := l.namespace(fmt.Sprintf("new-%d", i))
		if err != nil {
			return err
		}
		l.pods = append(l.pods, pod.Path())
		if err := pod.Close(); err != nil {
			return err
		}
	}
	l.unused = l.pods
	return nil
}
