package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Tool runs hack/cluster, which is a module of its own and therefore a program and not a package here.
type Tool struct {
	// Repository is the checkout, Name that of the cluster.
	Repository, Name string
	// Workers is their number.
	Workers int
	// Fabrics are the networks beside the pod network, each NAME or NAME=NODE,NODE: eth1, eth2 … of the workers.
	Fabrics []string
	// Labels are put on nodes, each NODE=KEY=VALUE.
	Labels []string
	// Progress takes what the tool reports while it works.
	Progress io.Writer
}

// TwoRacks is a cluster with two workers in each of the racks a and b. eth1 of all of them is in one storage fabric,
// eth2 of each in that of its rack.
func TwoRacks(repository, name string) Tool {
	t := Tool{
		Repository: repository, Name: name, Workers: 4, Progress: os.Stderr,
		Fabrics: []string{"storage", "rack-a=worker,worker2", "rack-b=worker3,worker4"},
	}
	for node, rack := range map[string]string{"worker": "a", "worker2": "a", "worker3": "b", "worker4": "b"} {
		t.Labels = append(t.Labels, node+"="+v1alpha1.DefaultTopologyKey+"="+rack)
	}
	return t
}

// Up makes sure that the cluster runs.
func (t Tool) Up(ctx context.Context) error {
	args := []string{"up", "--name", t.Name, "--workers", strconv.Itoa(t.Workers)}
	for _, fabric := range t.Fabrics {
		args = append(args, "--fabric", fabric)
	}
	for _, label := range t.Labels {
		args = append(args, "--label", label)
	}
	return t.run(ctx, args...)
}

// Load builds the images of the operator and the agent, and puts them into the nodes.
func (t Tool) Load(ctx context.Context) error {
	build := exec.CommandContext(ctx, "make", "--no-print-directory", "images")
	build.Dir, build.Stdout, build.Stderr = t.Repository, t.Progress, t.Progress
	if err := build.Run(); err != nil {
		return fmt.Errorf("make images: %w; its messages are above", err)
	}
	archives, err := filepath.Glob(filepath.Join(t.Repository, "bin", "images", "*.tar"))
	if err != nil {
		return fmt.Errorf("looking for image archives: %w", err)
	}
	return t.run(ctx, append([]string{"load", "--name", t.Name}, archives...)...)
}

// Image packs a static program into an image archive.
func (t Tool) Image(ctx context.Context, name, binary, archive string) error {
	return t.run(ctx, "image", "--name", name, "--binary", binary, "--out", archive)
}

// Down removes the cluster, and with the last one the Docker daemon, if hack/cluster started it.
func (t Tool) Down(ctx context.Context) error {
	clusters, err := os.ReadDir(t.state("clusters"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("looking for other clusters: %w", err)
	}
	for _, c := range clusters {
		if c.Name() != t.Name {
			return t.run(ctx, "down", "--name", t.Name)
		}
	}
	return t.run(ctx, "down", "--all")
}

// build makes the program, which takes a moment where nothing has changed. `go run` would not pass on the signal that ends it.
func (t Tool) build(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", t.program(), ".")
	build.Dir, build.Stdout, build.Stderr = filepath.Join(t.Repository, "hack", "cluster"), t.Progress, t.Progress
	if err := build.Run(); err != nil {
		return fmt.Errorf("building hack/cluster: %w", err)
	}
	return nil
}

func (t Tool) program() string { return filepath.Join(t.Repository, "bin", "cluster") }

func (t Tool) run(ctx context.Context, args ...string) error {
	if err := t.build(ctx); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, t.program(), args...)
	cmd.Dir, cmd.Stderr = t.Repository, t.Progress
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("hack/cluster %s: %w; its messages are above", strings.Join(args, " "), err)
	}
	return nil
}

// state is the folder in which hack/cluster keeps what runs.
func (t Tool) state(path ...string) string {
	folder := os.Getenv("MULTINET_STATE")
	if folder == "" {
		folder = "/var/lib/multinet-dev"
	}
	return filepath.Join(append([]string{folder}, path...)...)
}

// Kubeconfig is the administrator's.
func (t Tool) Kubeconfig() (string, error) {
	file := t.state("clusters", t.Name, "kubeconfig")
	_, err := os.Stat(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no cluster %s: bring it up first", t.Name)
	}
	return file, err
}

// dockerHost is the address of the daemon that hack/cluster started, or empty if the machine has its own.
func (t Tool) dockerHost() string {
	socket := t.state("docker", "docker.sock")
	if _, err := os.Stat(socket); err != nil {
		return ""
	}
	return "unix://" + socket
}

// AuditLog is the API server's log of writes.
func (t Tool) AuditLog() string { return t.state("clusters", t.Name, "audit", "audit.log") }

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
