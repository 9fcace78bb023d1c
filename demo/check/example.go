package check

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/multinet-dev/multinet/demo/cluster"
)

// Uplinks is the agents' configuration that the examples need.
func Uplinks(repository string) string { return filepath.Join(repository, "demo", "uplinks.yaml") }

// StorageExample checks the pods of demo/storage.
func StorageExample(c *cluster.Cluster, out io.Writer) Pair {
	return Pair{
		Example: Example{Cluster: c, Folder: "storage", Namespace: "storage-demo", Out: out, Patience: 2 * time.Minute},
		Pods:    [2]string{"left", "right"}, Network: "storage", Uplink: "eth1",
	}
}

// RacksExample checks the pods of demo/racks.
func RacksExample(c *cluster.Cluster, out io.Writer) Racks {
	return Racks{
		Example:  Example{Cluster: c, Folder: "racks", Namespace: "racks-demo", Out: out, Patience: 2 * time.Minute},
		Racks:    map[string][2]string{"a": {"a-0", "a-1"}, "b": {"b-0", "b-1"}},
		Networks: []string{"rack-nic", "rack-overlay"},
	}
}

// Example is a folder below demo with files that a reader would apply by hand.
type Example struct {
	Cluster *cluster.Cluster
	// Folder is its name, Namespace that of its pods.
	Folder, Namespace string
	// Out takes what a person wants to see.
	Out io.Writer
	// Patience is how long the pods may take to be Ready.
	Patience time.Duration
}

// Apply applies the files, one after the other. A namespace that is a moment old has no default ServiceAccount yet, for
// which pods are refused; hence the second try.
func (e Example) Apply(ctx context.Context, repository string) error {
	files, err := filepath.Glob(filepath.Join(repository, "demo", e.Folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("example %s: %d files were found (%w)", e.Folder, len(files), err)
	}
	for _, file := range files {
		objects, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("example %s: %w", e.Folder, err)
		}
		what := filepath.Base(file) + " to be accepted"
		err = cluster.Until(ctx, 30*time.Second, what, func(ctx context.Context) error { return e.Cluster.Apply(ctx, objects) })
		if err != nil {
			return fmt.Errorf("example %s: %w", e.Folder, err)
		}
	}
	return nil
}

func (e Example) say(format string, args ...any) { fmt.Fprintf(e.Out, format+"\n", args...) }
