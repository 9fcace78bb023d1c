package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/multinet-dev/multinet/hack/cluster/docker"
	"github.com/multinet-dev/multinet/hack/cluster/kindcluster"
	"github.com/multinet-dev/multinet/hack/cluster/nodeimage"
)

const defaultName = "multinet-dev"

func up(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	name := flags.String("name", defaultName, "name of the cluster")
	workers := flags.Int("workers", 2, "number of worker nodes")
	build := flags.Bool("build-image", false, "build the node image even if a registry is in reach")
	var fabrics, labels list
	flags.Var(&fabrics, "fabric", "`NAME[=worker,worker2]`: one more network for these nodes, default all workers; repeatable")
	flags.Var(&labels, "label", "`node=key=value`: label of a node; repeatable")
	if err := parse(flags, args); err != nil {
		return err
	}
	request, err := kindcluster.NewRequest(*name, *workers, fabrics, labels)
	if err != nil {
		return err
	}
	way, err := nodeimage.ParseWay(*build, t.getenv(nodeimage.Variable))
	if err != nil {
		return err
	}
	// Before the lock, which is in a folder that may be root's alone.
	if err := t.preflight(ctx, request.Workers); err != nil {
		return err
	}
	return t.locked(ctx, t.dirs.State, func() error { return t.up(ctx, request, way) })
}

func (t *tool) up(ctx context.Context, request kindcluster.Request, way nodeimage.Way) error {
	c, err := t.cluster(ctx, request)
	if err != nil {
		return err
	}
	builder, err := t.images(ctx, c.Docker)
	if err != nil {
		return err
	}
	err = c.Up(ctx, func() (string, bool, error) {
		return t.nodeImage(ctx, builder, way)
	})
	if err != nil {
		return err
	}
	if err := t.ensureTestbox(ctx, c, builder); err != nil {
		return err
	}
	t.log.Summary()
	if c.Docker.Host != "" {
		t.log.Note("the tool runs its own Docker daemon: export %s=%s", docker.HostVariable, c.Docker.Host)
	}
	t.log.Note("audit log of API writes: %s", filepath.Join(c.Files.AuditFolder(), "audit.log"))
	fmt.Println(c.Files.Kubeconfig())
	return nil
}

// cluster starts Docker if need be. kind reads its daemon from the environment only.
func (t *tool) cluster(ctx context.Context, request kindcluster.Request) (kindcluster.Cluster, error) {
	client, err := t.daemon().Ensure(ctx)
	if err != nil {
		return kindcluster.Cluster{}, err
	}
	return t.clusterWith(client, request)
}

func (t *tool) clusterWith(client docker.Client, request kindcluster.Request) (kindcluster.Cluster, error) {
	if client.Host != "" {
		if err := os.Setenv(docker.HostVariable, client.Host); err != nil {
			return kindcluster.Cluster{}, fmt.Errorf("setting %s: %w", docker.HostVariable, err)
		}
	}
	files := kindcluster.Files{Folder: t.dirs.Cluster(request.Name)}
	return kindcluster.Cluster{Request: request, Files: files, Docker: client, Log: t.log}, nil
}

// nodeImage gets the node image; a built one has no kindnet and so needs the tool's primary network.
func (t *tool) nodeImage(ctx context.Context, b nodeimage.Builder, forced nodeimage.Way) (string, bool, error) {
	name, err := b.Name()
	if err != nil {
		return "", false, err
	}
	facts := nodeimage.Facts{
		Forced: forced, OwnDocker: b.Docker.Host != "",
		Registry:    func() bool { return nodeimage.RegistryAnswers(ctx) },
		PullSucceed: func() error { return b.TryPull(ctx) },
	}
	if facts.HasBuilt, err = b.Cached(ctx, name); err != nil {
		return "", false, err
	}
	if facts.HasPulled, err = b.Docker.HasImage(ctx, nodeimage.Published); err != nil {
		return "", false, err
	}
	way, err := nodeimage.Choose(facts)
	if err != nil {
		return "", false, err
	}
	if way == nodeimage.Pull {
		return nodeimage.Published, false, nil
	}
	return name, true, t.build(ctx, b, name)
}

// ensureTestbox loads the testbox where the node image, being kind's own, lacks it.
func (t *tool) ensureTestbox(ctx context.Context, c kindcluster.Cluster, b nodeimage.Builder) error {
	missing, err := c.Missing(ctx, nodeimage.Testbox)
	if err != nil || len(missing) == 0 {
		return err
	}
	defer t.log.Step("loading %s", nodeimage.Testbox)()
	file := filepath.Join(t.dirs.Cache, "testbox.tar")
	return t.locked(ctx, t.dirs.Cache, func() error {
		if err := b.WriteTestbox(ctx, file); err != nil {
			return err
		}
		return errors.Join(c.Load(ctx, file), os.Remove(file))
	})
}

func load(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	name := flags.String("name", defaultName, "name of the cluster")
	if err := flags.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if flags.NArg() == 0 {
		return fmt.Errorf("load: name at least one image archive")
	}
	// No lock: containerd imports several images at once.
	c, err := t.existing(ctx, *name)
	if err != nil {
		return err
	}
	for _, file := range flags.Args() {
		done := t.log.Step("loading %s", file)
		if err := c.Load(ctx, file); err != nil {
			return err
		}
		done()
	}
	return nil
}

// existing is the cluster as it was recorded when it was made.
func (t *tool) existing(ctx context.Context, name string) (kindcluster.Cluster, error) {
	c, _, err := t.recordedCluster(ctx, name)
	return c, err
}

func (t *tool) recordedCluster(ctx context.Context, name string) (kindcluster.Cluster, *kindcluster.Record, error) {
	record, err := kindcluster.Files{Folder: t.dirs.Cluster(name)}.Read()
	if err != nil {
		return kindcluster.Cluster{}, nil, err
	}
	if record == nil {
		return kindcluster.Cluster{}, nil, fmt.Errorf("there is no cluster %s: run `up --name %s` first", name, name)
	}
	c, err := t.cluster(ctx, record.Request)
	return c, record, err
}
