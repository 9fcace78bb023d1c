// Package dirs says where the tool keeps what it makes: caches that cost only time to lose, and the
// state of what is running.
package dirs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Environment variables that move the two folders.
const (
	CacheVariable = "MULTINET_CACHE"
	StateVariable = "MULTINET_STATE"
)

// defaultState lies outside the home folder: the Docker daemon's data in it belongs to root.
const defaultState = "/var/lib/multinet-dev"

// Dirs are the two folders; neither is assumed to exist.
type Dirs struct {
	Cache string // built binaries, node images, root file systems
	State string // running clusters, the Docker daemon that this tool started
}

// FromEnvironment chooses the folders; getenv is os.Getenv outside tests.
func FromEnvironment(getenv func(string) string) (Dirs, error) {
	cache := getenv(CacheVariable)
	if cache == "" {
		base := getenv("XDG_CACHE_HOME")
		if base == "" {
			home := getenv("HOME")
			if home == "" {
				return Dirs{}, fmt.Errorf("no folder for caches: set %s, XDG_CACHE_HOME or HOME", CacheVariable)
			}
			base = filepath.Join(home, ".cache")
		}
		cache = filepath.Join(base, "multinet")
	}
	state := getenv(StateVariable)
	if state == "" {
		state = defaultState
	}
	return absolute(Dirs{Cache: cache, State: state})
}

func absolute(d Dirs) (Dirs, error) {
	cache, err := filepath.Abs(d.Cache)
	if err != nil {
		return Dirs{}, fmt.Errorf("cache folder %s: %w", d.Cache, err)
	}
	state, err := filepath.Abs(d.State)
	if err != nil {
		return Dirs{}, fmt.Errorf("state folder %s: %w", d.State, err)
	}
	return Dirs{Cache: cache, State: state}, nil
}

// Cluster is the folder of one cluster: kubeconfig, audit log, what was asked for.
func (d Dirs) Cluster(name string) string { return filepath.Join(d.State, "clusters", name) }

// Docker is the folder of the Docker daemon that this tool starts where there is none.
func (d Dirs) Docker() string { return filepath.Join(d.State, "docker") }

// repositoryMarker is a file that only this repository has.
const repositoryMarker = "hack/node-image/kubernetes/go.mod"

// Repository finds the checkout that start lies in: the modules of the node image are built from it.
func Repository(start string) (string, error) {
	for dir := start; ; dir = filepath.Dir(dir) {
		_, err := os.Stat(filepath.Join(dir, repositoryMarker))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("looking for the repository in %s: %w", dir, err)
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of multinet: run the tool from the repository", start)
		}
	}
}
