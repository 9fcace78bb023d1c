package kindcluster

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Load imports an image archive into every node, all at once. Images are not unpacked: a node does that
// when it first runs one.
func (c Cluster) Load(ctx context.Context, archive string) error {
	var g errgroup.Group
	for _, node := range c.Request.Nodes() {
		g.Go(func() error {
			file, err := os.Open(archive)
			if err != nil {
				return err
			}
			defer file.Close()
			_, err = c.Docker.Pipe(ctx, file, "exec", "-i", node, "ctr", "-n", "k8s.io", "images", "import", "--no-unpack", "-")
			if err != nil {
				return fmt.Errorf("loading %s into node %s: %w", archive, node, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// Missing lists the nodes that do not have an image.
func (c Cluster) Missing(ctx context.Context, image string) ([]string, error) {
	var missing []string
	for _, node := range c.Request.Nodes() {
		out, err := c.Docker.Run(ctx, "exec", node, "ctr", "-n", "k8s.io", "images", "ls", "-q", "name=="+image)
		if err != nil {
			return nil, fmt.Errorf("listing images of node %s: %w", node, err)
		}
		if !strings.Contains(out, image) {
			missing = append(missing, node)
		}
	}
	return missing, nil
}
