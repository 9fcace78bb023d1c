// Package runcwrap stands between Docker and runc on machines that lack a capability. For a privileged
// container Docker asks runc for every capability it knows; runc then fails with "unable to apply caps:
// operation not permitted" if one is outside the machine's bounding set. The wrapper takes those away first.
package runcwrap

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// FilterProcess removes capabilities that allowed refuses from an OCI process document (exec --process).
// The document stays as it is otherwise, unknown fields included.
func FilterProcess(document []byte, allowed func(string) bool) ([]byte, error) {
	var process map[string]json.RawMessage
	if err := json.Unmarshal(document, &process); err != nil {
		return nil, fmt.Errorf("reading OCI process: %w", err)
	}
	raw, ok := process["capabilities"]
	if !ok {
		return document, nil
	}
	var sets map[string][]string
	if err := json.Unmarshal(raw, &sets); err != nil {
		return nil, fmt.Errorf("reading OCI capabilities: %w", err)
	}
	for name, set := range sets {
		sets[name] = slices.DeleteFunc(set, func(c string) bool { return !allowed(c) })
	}
	filtered, err := json.Marshal(sets)
	if err != nil {
		return nil, fmt.Errorf("writing OCI capabilities: %w", err)
	}
	process["capabilities"] = filtered
	return json.Marshal(process)
}

// FilterSpec does the same for a bundle's config.json, whose process is one of its fields.
func FilterSpec(document []byte, allowed func(string) bool) ([]byte, error) {
	var spec map[string]json.RawMessage
	if err := json.Unmarshal(document, &spec); err != nil {
		return nil, fmt.Errorf("reading OCI spec: %w", err)
	}
	raw, ok := spec["process"]
	if !ok {
		return document, nil
	}
	filtered, err := FilterProcess(raw, allowed)
	if err != nil {
		return nil, err
	}
	spec["process"] = filtered
	return json.Marshal(spec)
}

// names are the kernel's capabilities by bit. One that is newer than this list is left to runc to judge.
var names = strings.Fields(`CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL
	CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN
	CAP_NET_RAW CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE
	CAP_SYS_PACCT CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG
	CAP_MKNOD CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
	CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`)

// Allowed turns a bounding set, as /proc/<pid>/status shows it, into the question FilterSpec asks.
func Allowed(bounding uint64) func(string) bool {
	return func(capability string) bool {
		bit := slices.Index(names, capability)
		return bit < 0 || bounding&(1<<uint(bit)) != 0
	}
}
