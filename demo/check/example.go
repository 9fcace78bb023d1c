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

// Uplinks is the agents' configuration that the example needs.
func Uplinks(repository string) string {
	return filepath.Join(repository, "demo", "storage", "uplinks.yaml")
}

// Example checks the pods of demo/storage.
func Example(c *cluster.Cluster, out io.Writer) Check {
	return Check{Cluster: c, Namespace: "storage-demo", Pods: [2]string{"left", "right"}, Uplink: "eth1", Out: out, Patience: 2 * time.Minute}
}

// ApplyExample applies the files that a reader would apply by hand. A namespace that is a moment old has no
// default ServiceAccount yet, for which pods are refused; hence the second try.
func ApplyExample(ctx context.Context, c *cluster.Cluster, repository string) error {
	for _, name := range []string{"network.yaml", "qos.yaml", "pods.yaml"} {
		objects, err := os.ReadFile(filepath.Join(repository, "demo", "storage", name))
		if err != nil {
			return fmt.Errorf("reading the example: %w", err)
		}
		err = cluster.Until(ctx, 30*time.Second, name+" to be accepted", func(ctx context.Context) error { return c.Apply(ctx, objects) })
		if err != nil {
			return err
		}
	}
	return nil
}
