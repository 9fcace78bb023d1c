package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Tool runs hack/cluster, which is a module of its own and therefore a program and not a package here.
type Tool struct {
	// Repository is the checkout, Name that of the cluster.
	Repository, Name string
	// Progress takes what the tool reports while it works.
	Progress io.Writer
}

// Up makes sure that the cluster runs: a control plane and two workers with the storage fabric on eth1.
func (t Tool) Up(ctx context.Context) error {
	_, err := t.run(ctx, "up", "--name", t.Name, "--workers", "2", "--fabric", "storage")
	return err
}

// Load puts images into the nodes: those of the operator and the agent, and the box that tests run in pods.
func (t Tool) Load(ctx context.Context) error {
	_, err := t.run(ctx, "load", "--name", t.Name)
	return err
}

// Down removes the cluster, and the Docker daemon if the tool started it and nothing else uses it.
func (t Tool) Down(ctx context.Context) error {
	_, err := t.run(ctx, "down", "--name", t.Name)
	return err
}

// access returns the administrator's kubeconfig and the address of the Docker daemon.
func (t Tool) access(ctx context.Context) (kubeconfig, dockerHost string, err error) {
	kubeconfig, err = t.run(ctx, "kubeconfig", "--name", t.Name)
	if err != nil {
		return "", "", err
	}
	dockerHost, err = t.run(ctx, "docker-host")
	return kubeconfig, dockerHost, err
}

// AuditLog is the API server's audit log on this machine.
func (t Tool) AuditLog(ctx context.Context) (string, error) {
	return t.run(ctx, "audit-log", "--name", t.Name)
}

func (t Tool) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"run", "."}, args...)...)
	cmd.Dir = filepath.Join(t.Repository, "hack", "cluster")
	cmd.Stderr = t.Progress
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hack/cluster %s: %w; its messages are above", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// FindRepository returns the checkout that the working folder is in.
func FindRepository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("asking for the working folder: %w", err)
	}
	for start := dir; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a checkout of multinet: run this from the repository", start)
		}
	}
}
