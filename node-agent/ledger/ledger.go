// Package ledger keeps what the node has planned for each pod: one small file per pod, so that a crash between
// prepare and release loses nothing. Memory is a cache of the files.
package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Ledger is the plans of one node. Its methods may be called concurrently.
type Ledger struct {
	dir     string
	damaged []*DamagedError

	// writing orders Put and Delete of one pod; pods in different stripes do not wait for each other's fsync.
	writing [16]sync.Mutex
	seed    maphash.Seed

	mu   sync.RWMutex
	pods map[types.UID]plan.Pod
}

// DamagedError tells of a file that could not be read at Open and was set aside.
type DamagedError struct {
	// Path is where the file is now.
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("ledger: a damaged plan was set aside as %s: %v", e.Path, e.Err)
}

func (e *DamagedError) Unwrap() error { return e.Err }

// Open loads the plans in dir, which it creates (mode 0700) if need be. Files that cannot be understood are
// renamed to *.damaged and listed by Damaged; they never keep the others from being loaded.
func Open(dir string) (*Ledger, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: create folder: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("ledger: restrict folder: %w", err)
	}
	l := &Ledger{dir: dir, seed: maphash.MakeSeed(), pods: map[types.UID]plan.Pod{}}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
}

// Damaged lists the files that Open set aside.
func (l *Ledger) Damaged() []*DamagedError { return slices.Clone(l.damaged) }

// Put stores the plan of one pod, on disk before in memory: when it returns nil, the plan outlives a crash.
// The caller does not change the plan's slices afterwards.
func (l *Ledger) Put(pod plan.Pod) error {
	path, err := l.path(pod.UID)
	if err != nil {
		return err
	}
	content, err := json.Marshal(pod)
	if err != nil {
		return fmt.Errorf("ledger: encode plan of pod %s: %w", pod.UID, err)
	}
	defer l.lock(pod.UID).Unlock()
	if err := replaceFile(path, content, true); err != nil {
		return fmt.Errorf("ledger: store plan of pod %s: %w", pod.UID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pods[pod.UID] = pod
	return nil
}

// Get returns the plan of a pod from memory. The plan must not be changed.
func (l *Ledger) Get(uid types.UID) (plan.Pod, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	pod, ok := l.pods[uid]
	return pod, ok
}

// Delete forgets a pod. Deleting what is absent succeeds.
func (l *Ledger) Delete(uid types.UID) error {
	path, err := l.path(uid)
	if err != nil {
		return err
	}
	defer l.lock(uid).Unlock()
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("ledger: delete plan of pod %s: %w", uid, err)
	}
	// No fsync of the folder: a plan that comes back after a crash is found to have no sandbox and is released again.
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pods, uid)
	return nil
}

// All returns every plan, ordered by UID.
func (l *Ledger) All() []plan.Pod {
	l.mu.RLock()
	defer l.mu.RUnlock()
	pods := make([]plan.Pod, 0, len(l.pods))
	for _, pod := range l.pods {
		pods = append(pods, pod)
	}
	slices.SortFunc(pods, func(a, b plan.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	return pods
}

// lock takes the stripe of a pod and returns it.
func (l *Ledger) lock(uid types.UID) *sync.Mutex {
	stripe := &l.writing[maphash.String(l.seed, string(uid))%uint64(len(l.writing))]
	stripe.Lock()
	return stripe
}

func (l *Ledger) path(uid types.UID) (string, error) { return pathIn(l.dir, string(uid)) }

// pathIn refuses what is no plain file name: UIDs come from the API, and static pods choose their own.
func pathIn(dir, name string) (string, error) {
	if name == "" || len(name) > 200 || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("ledger: %q cannot be the UID of a pod or the ID of a sandbox", name)
	}
	return filepath.Join(dir, name+extension), nil
}
