package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

const (
	extension = ".json"
	// unfinished starts the names of files that a crash may leave behind; none is ever a plan.
	unfinished = ".unfinished-"
	setAside   = ".damaged"
)

func (l *Ledger) load() error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return fmt.Errorf("ledger: list folder: %w", err)
	}
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case strings.HasPrefix(name, unfinished):
			err = os.Remove(filepath.Join(l.dir, name))
		case strings.HasSuffix(name, extension):
			err = l.loadFile(name)
		default:
			err = nil
		}
		if err != nil {
			return fmt.Errorf("ledger: load %s: %w", name, err)
		}
	}
	return nil
}

// loadFile fails only where the damaged file cannot even be set aside.
func (l *Ledger) loadFile(name string) error {
	path := filepath.Join(l.dir, name)
	pod, problem := readPlan(path)
	if problem == nil {
		l.pods[pod.UID] = pod
		return nil
	}
	if err := os.Rename(path, path+setAside); err != nil {
		return errors.Join(problem, err)
	}
	l.damaged = append(l.damaged, &DamagedError{Path: path + setAside, Err: problem})
	return nil
}

// readPlan ignores fields that it does not know: after a return to an older agent most of a plan is better than none.
func readPlan(path string) (plan.Pod, error) {
	var pod plan.Pod
	content, err := os.ReadFile(path)
	if err != nil {
		return pod, err
	}
	if err := json.Unmarshal(content, &pod); err != nil {
		return pod, fmt.Errorf("not a plan: %w", err)
	}
	if want := types.UID(strings.TrimSuffix(filepath.Base(path), extension)); pod.UID != want {
		return pod, fmt.Errorf("the plan is for pod %q, the file for %q", pod.UID, want)
	}
	return pod, nil
}

// replaceFile replaces path in one step. One that is to survive a power cut is on disk before the name points at it (else an
// empty file may appear), and the name is on disk before replaceFile returns.
func replaceFile(path string, content []byte, powerCut bool) (err error) {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, unfinished+"*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content)
	if err == nil && powerCut {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	if !powerCut {
		return nil
	}
	return syncDir(dir)
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
