package kindcluster

import (
	"context"
	"fmt"
	"os"
	"slices"

	"sigs.k8s.io/kind/pkg/cluster"

	"github.com/multinet-dev/multinet/hack/cluster/docker"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

// Cluster is one kind cluster, whether it exists or not.
type Cluster struct {
	Request Request
	Files   Files
	Docker  docker.Client
	Log     *progress.Log
}

// Up makes sure that the cluster exists as requested and works. image says how to get its node image; it is
// asked only if nodes have to be created.
func (c Cluster) Up(ctx context.Context, image func() (name string, ownCNI bool, err error)) error {
	record, err := c.Files.Read()
	if err != nil {
		return err
	}
	found, err := c.containers(ctx)
	if err != nil {
		return err
	}
	switch decide(c.Request, record, found) {
	case mismatch:
		return fmt.Errorf("cluster %s exists with %d workers, %d are asked for: run `down --name %s` first",
			c.Request.Name, record.Request.Workers, c.Request.Workers, c.Request.Name)
	case create:
		if record, err = c.create(ctx, len(found) > 0, image); err != nil {
			return err
		}
	case keep:
		c.Log.Note("cluster %s exists and is kept", c.Request.Name)
		if _, err := c.Docker.Run(ctx, append([]string{"start"}, c.Request.Nodes()...)...); err != nil {
			return fmt.Errorf("starting nodes: %w", err)
		}
	}
	if err := c.configure(ctx, record.OwnCNI); err != nil {
		return err
	}
	record.Request = c.Request
	return c.Files.write(*record)
}

type decision int

const (
	create decision = iota
	keep
	mismatch
)

// decide compares what is asked for with what is there. Rests of a failed try are replaced, a complete
// cluster never is: somebody may be working on it.
func decide(r Request, record *Record, containers []string) decision {
	if record == nil || len(containers) == 0 {
		return create
	}
	wanted := r.Nodes()
	slices.Sort(wanted)
	have := slices.Sorted(slices.Values(containers))
	if !slices.Equal(wanted, have) {
		return mismatch
	}
	return keep
}

func (c Cluster) containers(ctx context.Context) ([]string, error) {
	names, err := c.Docker.Lines(ctx, "ps", "--all", "--filter", "label=io.x-k8s.kind.cluster="+c.Request.Name,
		"--format", "{{.Names}}")
	if err != nil {
		return nil, fmt.Errorf("listing nodes of cluster %s: %w", c.Request.Name, err)
	}
	return names, nil
}

func (c Cluster) create(ctx context.Context, rests bool, image func() (string, bool, error)) (*Record, error) {
	if rests {
		c.Log.Note("removing what an unfinished run left of cluster %s", c.Request.Name)
		if err := c.Down(ctx); err != nil {
			return nil, err
		}
	}
	name, ownCNI, err := image()
	if err != nil {
		return nil, err
	}
	if err := c.Files.prepare(); err != nil {
		return nil, err
	}
	defer c.Log.Step("creating kind cluster %s of %d nodes", c.Request.Name, len(c.Request.Nodes()))()
	err = c.provider().Create(c.Request.Name,
		cluster.CreateWithV1Alpha4Config(config(c.Request, c.Files, ownCNI)),
		cluster.CreateWithNodeImage(name),
		cluster.CreateWithKubeconfigPath(c.Files.Kubeconfig()),
		// What failed can be looked at; the next run removes it.
		cluster.CreateWithRetain(true),
		cluster.CreateWithDisplayUsage(false),
		cluster.CreateWithDisplaySalutation(false))
	if err != nil {
		return nil, fmt.Errorf("creating kind cluster %s: %w", c.Request.Name, withOutput(err))
	}
	return &Record{Image: name, OwnCNI: ownCNI}, nil
}

func (c Cluster) provider() *cluster.Provider {
	return cluster.NewProvider(cluster.ProviderWithDocker(), cluster.ProviderWithLogger(logger{c.Log}))
}

// configure brings everything on top of the nodes to what is requested. It is safe at any time, and needed
// again after node containers were restarted.
func (c Cluster) configure(ctx context.Context, ownCNI bool) error {
	if err := c.connectFabrics(ctx); err != nil {
		return err
	}
	if err := c.mountBPF(ctx); err != nil {
		return err
	}
	if err := c.provider().ExportKubeConfig(c.Request.Name, c.Files.Kubeconfig(), false); err != nil {
		return fmt.Errorf("writing kubeconfig of cluster %s: %w", c.Request.Name, withOutput(err))
	}
	if err := c.waitForAPI(ctx); err != nil {
		return err
	}
	if ownCNI {
		if err := c.installPrimaryCNI(ctx); err != nil {
			return fmt.Errorf("installing the primary network: %w", err)
		}
	}
	if err := c.applyLabels(ctx); err != nil {
		return err
	}
	return c.waitForReady(ctx)
}

func (c Cluster) applyLabels(ctx context.Context) error {
	for _, l := range c.Request.Labels {
		if _, err := c.kubectl(ctx, "label", "--overwrite", "node", l.Node, l.Key+"="+l.Value); err != nil {
			return fmt.Errorf("labelling node %s: %w", l.Node, err)
		}
	}
	return nil
}

// Down removes the nodes, the fabrics and the files of the cluster. What is not there is fine.
func (c Cluster) Down(ctx context.Context) error {
	if err := c.provider().Delete(c.Request.Name, c.Files.Kubeconfig()); err != nil {
		return fmt.Errorf("deleting kind cluster %s: %w", c.Request.Name, withOutput(err))
	}
	if err := c.removeFabrics(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(c.Files.Folder); err != nil {
		return fmt.Errorf("removing files of cluster %s: %w", c.Request.Name, err)
	}
	return nil
}
