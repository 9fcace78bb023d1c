package cni

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/agent"
)

// derived ends the name of a list that is made of a configuration of one plugin, in the place of that one's extension: it sorts
// right before .conf and .json, so that the runtime takes the list.
const derived = ".a-multinet.conflist"

// Place is where on a node plugins and their configuration are.
type Place struct {
	// ConfDir is the runtime's, of which it uses the first file; BinDir has the programs of plugins.
	ConfDir, BinDir string
	// Program is the plugin as the agent's image has it.
	Program string
	Stanza  Stanza
}

// Ensure puts the plugin's program and its part of the configuration there, in this order, and tells whether the configuration
// changed.
func (p Place) Ensure() (changed bool, err error) {
	if err := p.ensureProgram(); err != nil {
		return false, fmt.Errorf("install %s in %s: %w", agent.PluginType, p.BinDir, err)
	}
	names, err := p.configurations()
	if err != nil {
		return false, fmt.Errorf("list the CNI configurations of the node: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return strings.HasSuffix(name, derived) })
	if len(names) == 0 {
		return false, fmt.Errorf("there is no CNI configuration in %s: the cluster's own network is not installed yet", p.ConfDir)
	}
	first := names[0]
	path := filepath.Join(p.ConfDir, first)
	if filepath.Ext(first) == ".conflist" {
		changed, err = edit(path, func(text []byte) ([]byte, bool, error) { return chain(text, p.Stanza) })
	} else {
		changed, err = p.derive(path)
	}
	if err != nil {
		return false, fmt.Errorf("CNI configuration %s: %w", path, err)
	}
	stale, err := p.removeDerived(strings.TrimSuffix(first, filepath.Ext(first)))
	return changed || stale, err
}

// TakeOut is the end of Ensure: the configuration is what it was. The program stays unless it is asked for: a runtime that keeps
// the configuration of each sandbox still starts it for those that are there.
func (p Place) TakeOut(program bool) error {
	names, err := p.configurations()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the CNI configurations of the node: %w", err)
	}
	var failed []error
	for _, name := range names {
		path := filepath.Join(p.ConfDir, name)
		if strings.HasSuffix(name, derived) {
			failed = append(failed, os.Remove(path))
		} else if filepath.Ext(name) == ".conflist" {
			failed = append(failed, takeOut(path))
		}
	}
	if program {
		if err := os.Remove(filepath.Join(p.BinDir, agent.PluginType)); !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// takeOut leaves alone what is no list: the plugin is not in it.
func takeOut(path string) error {
	_, err := edit(path, func(text []byte) ([]byte, bool, error) {
		if !bytes.Contains(text, []byte(agent.PluginType)) {
			return text, false, nil
		}
		return unchain(text)
	})
	if err != nil {
		return fmt.Errorf("take %s out of %s: %w", agent.PluginType, path, err)
	}
	return nil
}

// configurations are the files that a runtime reads, in its order.
func (p Place) configurations() (names []string, err error) {
	entries, err := os.ReadDir(p.ConfDir)
	for _, entry := range entries {
		if slices.Contains([]string{".conf", ".conflist", ".json"}, filepath.Ext(entry.Name())) && !entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

// derive makes the list beside a configuration of one plugin, which stays as it is.
func (p Place) derive(path string) (changed bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	list, err := wrap(text, p.Stanza)
	if err != nil {
		return false, err
	}
	to := strings.TrimSuffix(path, filepath.Ext(path)) + derived
	if there, err := os.ReadFile(to); err == nil && bytes.Equal(there, list) {
		return false, nil
	}
	return true, replace(to, list, 0o600)
}

// removeDerived removes lists whose original is not used any more; that of keep stays if it is one of a single plugin.
func (p Place) removeDerived(keep string) (removed bool, err error) {
	names, err := p.configurations()
	if err != nil {
		return false, err
	}
	for _, name := range names {
		of, isDerived := strings.CutSuffix(name, derived)
		if !isDerived || of == keep && !slices.Contains(names, keep+".conflist") {
			continue
		}
		if err := os.Remove(filepath.Join(p.ConfDir, name)); err != nil {
			return removed, err
		}
		removed = true
	}
	return removed, nil
}

// edit changes a file in one step, unless somebody else has changed it meanwhile.
func edit(path string, change func([]byte) ([]byte, bool, error)) (changed bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	stat, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	next, changed, err := change(text)
	if err != nil || !changed {
		return false, err
	}
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, text) {
		return false, errors.Join(errors.New("it is being changed by somebody else"), err)
	}
	return true, replace(path, next, stat.Mode().Perm())
}

// replace gives the file its name when it is complete. Until then it has none that a runtime reads.
func replace(path string, content []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".multinet-*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}

// ensureProgram replaces a program of another version by name: one that runs keeps its file.
func (p Place) ensureProgram() error {
	program, err := os.ReadFile(p.Program)
	if err != nil {
		return err
	}
	to := filepath.Join(p.BinDir, agent.PluginType)
	there, err := os.ReadFile(to)
	if err == nil && bytes.Equal(there, program) {
		return nil
	}
	return replace(to, program, 0o755)
}
