// Package fabric builds what the benchmark of overlays compares: pairs of nodes with a cable between them, and on each node
// one pod, joined by Multinet's overlay or by devices made by hand.
package fabric

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// Lab holds namespaces below one folder, so that all of them can be removed wherever a benchmark fails.
type Lab struct {
	dir        string
	namespaces map[string]*kernel.Namespace
}

// NewLab makes an empty laboratory.
func NewLab() (*Lab, error) {
	dir, err := os.MkdirTemp("", "multinet-bench-")
	return &Lab{dir, map[string]*kernel.Namespace{}}, err
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
		return nil, errors.Join(err, os.Remove(path))
	}
	l.namespaces[path] = ns
	return ns, nil
}

func (l *Lab) remove(path string) error {
	ns := l.namespaces[path]
	delete(l.namespaces, path)
	return errors.Join(ns.Close(), kerneltest.RemoveNamespace(path))
}

// InNewPod calls f with the path of a new namespace, and removes that.
func (l *Lab) InNewPod(f func(path string) error) error {
	pod, err := l.namespace("new")
	if err != nil {
		return err
	}
	return errors.Join(pod.Close(), f(pod.Path()), l.remove(pod.Path()))
}
