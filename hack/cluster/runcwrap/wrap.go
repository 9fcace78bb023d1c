package runcwrap

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Name is what the tool is called when it plays this part.
const Name = "multinet-runc"

// Exec rewrites the documents that the runc command line names and becomes runc. It returns only on failure.
func Exec(args []string) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("reading the bounding set: %w", err)
	}
	bounding, err := boundingSet(status)
	if err != nil {
		return err
	}
	for path, filter := range documents(args) {
		if err := rewrite(path, bounding, filter); err != nil {
			return fmt.Errorf("removing missing capabilities from %s: %w", path, err)
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return fmt.Errorf("looking for runc: %w", err)
	}
	return fmt.Errorf("starting %s: %w", runc, syscall.Exec(runc, append([]string{runc}, args...), os.Environ()))
}

func boundingSet(status []byte) (uint64, error) {
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "CapBnd:"); ok {
			return strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		}
	}
	return 0, fmt.Errorf("/proc/self/status has no CapBnd line")
}

type filterFunc func([]byte, func(string) bool) ([]byte, error)

// documents are the files with capabilities that a runc command line names: the bundle of create and run,
// the process of exec. Options are written as `--name value` or `--name=value`.
func documents(args []string) map[string]filterFunc {
	found := map[string]filterFunc{}
	if slices.Contains(args, "create") || slices.Contains(args, "run") {
		bundle := option(args, "--bundle", "-b")
		if bundle == "" {
			bundle = "."
		}
		found[filepath.Join(bundle, "config.json")] = FilterSpec
	}
	if process := option(args, "--process", "-p"); process != "" && slices.Contains(args, "exec") {
		found[process] = FilterProcess
	}
	return found
}

func option(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value
			}
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
		}
	}
	return ""
}

func rewrite(path string, bounding uint64, filter filterFunc) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	document, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	filtered, err := filter(document, Allowed(bounding))
	if err != nil {
		return err
	}
	return os.WriteFile(path, filtered, info.Mode().Perm())
}
