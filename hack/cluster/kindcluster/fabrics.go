package kindcluster

import (
	"context"
	"fmt"
	"slices"
)

// clusterLabel marks the Docker networks of a cluster, so that down finds them without being told.
const clusterLabel = "dev.multinet.cluster"

// networkName sorts behind "kind" and in the order of fabrics: when a container restarts, Docker names its
// interfaces in the order of its networks' names.
func networkName(cluster string, index int, fabric string) string {
	return fmt.Sprintf("kind-%s-%d-%s", cluster, index+1, fabric)
}

// connectFabrics makes one Docker network per fabric and connects its nodes. Nodes get eth1, eth2 … in the
// order of the fabrics that they are in.
func (c Cluster) connectFabrics(ctx context.Context) error {
	for i, f := range c.Request.Fabrics {
		name := networkName(c.Request.Name, i, f.Name)
		members, err := c.ensureNetwork(ctx, name)
		if err != nil {
			return fmt.Errorf("fabric %s: %w", f.Name, err)
		}
		for _, node := range f.Nodes {
			if slices.Contains(members, node) {
				continue
			}
			c.Log.Note("connecting %s to fabric %s", node, f.Name)
			if _, err := c.Docker.Run(ctx, "network", "connect", name, node); err != nil {
				return fmt.Errorf("fabric %s: connecting node %s: %w", f.Name, node, err)
			}
		}
	}
	return nil
}

// ensureNetwork returns the containers that the network connects already. It is a plain bridge: an internal
// network would drop frames of addresses that Docker did not give out where br_netfilter is loaded.
func (c Cluster) ensureNetwork(ctx context.Context, name string) ([]string, error) {
	found, err := c.Docker.Lines(ctx, "network", "ls", "--quiet", "--filter", "name=^"+name+"$")
	if err != nil {
		return nil, fmt.Errorf("looking for network %s: %w", name, err)
	}
	if len(found) == 0 {
		_, err := c.Docker.Run(ctx, "network", "create", "--label", clusterLabel+"="+c.Request.Name,
			"--opt", "com.docker.network.bridge.enable_ip_masquerade=false", name)
		if err != nil {
			return nil, fmt.Errorf("creating network %s: %w", name, err)
		}
		return nil, nil
	}
	return c.Docker.Lines(ctx, "network", "inspect", "--format", "{{range .Containers}}{{.Name}} {{end}}", name)
}

func (c Cluster) removeFabrics(ctx context.Context) error {
	networks, err := c.Docker.Lines(ctx, "network", "ls", "--quiet", "--filter", "label="+clusterLabel+"="+c.Request.Name)
	if err != nil {
		return fmt.Errorf("listing fabrics of cluster %s: %w", c.Request.Name, err)
	}
	for _, n := range networks {
		if _, err := c.Docker.Run(ctx, "network", "rm", n); err != nil {
			return fmt.Errorf("removing fabric network %s: %w", n, err)
		}
	}
	return nil
}
