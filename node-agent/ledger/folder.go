package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Folder keeps one value of a kind for each key: one small file each, in a folder that is root's. It is for what ends with the
// node's uptime and belongs on a tmpfs: a crash of the agent loses nothing, and nothing is synced to a disk. Its methods may be
// called concurrently, those that change one key by one caller at a time. See OpenDurableFolder for what outlives the uptime.
type Folder[T any] struct {
	dir     string
	durable bool
	damaged []*DamagedError

	mu     sync.RWMutex
	values map[string]T
}

// OpenDurableFolder is OpenFolder for what has to be there after the node was started anew: each Put is synced to the disk.
func OpenDurableFolder[T any](dir string) (*Folder[T], error) {
	f, err := OpenFolder[T](dir)
	if err == nil {
		f.durable = true
	}
	return f, err
}

// OpenFolder loads what is in dir, which it creates (mode 0700) if need be. Files that cannot be understood are set aside.
func OpenFolder[T any](dir string) (*Folder[T], error) {
	f := &Folder[T]{dir: dir, values: map[string]T{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: create folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: restrict folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("ledger: list folder: %w", err)
	}
	for _, entry := range entries {
		if err := f.load(entry.Name()); err != nil {
			return nil, fmt.Errorf("ledger: load %s: %w", entry.Name(), err)
		}
	}
	return f, nil
}

func (f *Folder[T]) load(name string) error {
	path := filepath.Join(f.dir, name)
	if strings.HasPrefix(name, unfinished) {
		return os.Remove(path)
	}
	key, ok := strings.CutSuffix(name, extension)
	if !ok {
		return nil
	}
	var value T
	content, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(content, &value)
	}
	if err == nil {
		f.values[key] = value
		return nil
	}
	f.damaged = append(f.damaged, &DamagedError{Path: path + setAside, Err: err})
	return os.Rename(path, path+setAside)
}

// Damaged lists the files that OpenFolder set aside.
func (f *Folder[T]) Damaged() []*DamagedError { return slices.Clone(f.damaged) }

// Put stores a value, in its file before in memory.
func (f *Folder[T]) Put(key string, value T) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	content, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("ledger: encode %s: %w", key, err)
	}
	if err := replaceFile(path, content, f.durable); err != nil {
		return fmt.Errorf("ledger: store %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.values[key] = value
	return nil
}

// Get returns the value of a key from memory. It must not be changed.
func (f *Folder[T]) Get(key string) (T, bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	value, ok := f.values[key]
	return value, ok
}

// All returns every value, in the order of the keys.
func (f *Folder[T]) All() []T {
	f.mu.RLock()
	defer f.mu.RUnlock()
	keys := make([]string, 0, len(f.values))
	for key := range f.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	all := make([]T, 0, len(keys))
	for _, key := range keys {
		all = append(all, f.values[key])
	}
	return all
}

// Delete forgets a key. Deleting what is absent succeeds.
func (f *Folder[T]) Delete(key string) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger: delete %s: %w", path, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.values, key)
	return nil
}

func (f *Folder[T]) path(key string) (string, error) { return pathIn(f.dir, key) }
