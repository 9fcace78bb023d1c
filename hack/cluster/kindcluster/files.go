package kindcluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Files is the folder of one cluster on the host.
type Files struct{ Folder string }

// Kubeconfig is the file for KUBECONFIG.
func (f Files) Kubeconfig() string { return filepath.Join(f.Folder, "kubeconfig") }

// AuditFolder receives the API server's audit log.
func (f Files) AuditFolder() string { return filepath.Join(f.Folder, "audit") }

// AuditPolicy says what is recorded there.
func (f Files) AuditPolicy() string { return filepath.Join(f.Folder, "audit-policy.yaml") }

func (f Files) record() string { return filepath.Join(f.Folder, "cluster.json") }

// Record is written when a cluster is complete: without it, what is there is the rest of a failed try.
type Record struct {
	Request Request `json:"request"`
	Image   string  `json:"image"`
	OwnCNI  bool    `json:"ownCNI"`
}

// Read returns nil if there is no complete cluster.
func (f Files) Read() (*Record, error) {
	data, err := os.ReadFile(f.record())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading cluster record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.record(), err)
	}
	return &r, nil
}

func (f Files) write(r Record) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(f.record(), append(data, '\n'), 0o644)
}

// prepare makes what kind mounts into the control plane. The record of an earlier cluster goes first: if
// what follows fails, nothing must call its rests complete.
func (f Files) prepare() error {
	if err := os.Remove(f.record()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing old cluster record: %w", err)
	}
	if err := os.MkdirAll(f.AuditFolder(), 0o755); err != nil {
		return fmt.Errorf("making audit folder: %w", err)
	}
	if err := os.WriteFile(f.AuditPolicy(), []byte(auditPolicy), 0o644); err != nil {
		return fmt.Errorf("writing audit policy: %w", err)
	}
	return nil
}
