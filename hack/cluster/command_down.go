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
)

func down(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	name := flags.String("name", defaultName, "name of the cluster")
	all := flags.Bool("all", false, "every cluster of this tool, and the Docker daemon if the tool started it")
	if err := parse(flags, args); err != nil {
		return err
	}
	if _, err := kindcluster.NewRequest(*name, 0, nil, nil); err != nil {
		return err
	}
	return t.locked(ctx, t.dirs.State, func() error {
		if *all {
			return t.downAll(ctx)
		}
		return t.downOne(ctx, *name)
	})
}

// downOne starts no daemon to remove a cluster with: where none runs, only files can be left.
func (t *tool) downOne(ctx context.Context, name string) error {
	client, works, err := t.runningDocker(ctx)
	if err != nil {
		return err
	}
	if !works {
		return fmt.Errorf("no Docker daemon runs that cluster %s could be removed from: `up` starts one, `down --all` removes everything", name)
	}
	defer t.log.Step("removing cluster %s", name)()
	c, err := t.clusterWith(client, kindcluster.Request{Name: name})
	if err != nil {
		return err
	}
	return c.Down(ctx)
}

// runningDocker finds the daemon that clusters are in. The tool's own answers only to root.
func (t *tool) runningDocker(ctx context.Context) (docker.Client, bool, error) {
	own, err := t.daemon().Running()
	if err != nil {
		return docker.Client{}, false, err
	}
	if own {
		return t.daemon().Client(), t.daemon().Client().Works(ctx), nil
	}
	return docker.Client{}, (docker.Client{}).Works(ctx), nil
}

func (t *tool) downAll(ctx context.Context) error {
	names, err := t.recorded()
	if err != nil {
		return err
	}
	client, works, err := t.runningDocker(ctx)
	if err != nil {
		return err
	}
	if !works {
		if works, err = t.daemon().Revive(ctx); err != nil {
			return fmt.Errorf("starting the tool's Docker daemon to remove what it made: %w", err)
		}
		client = t.daemon().Client()
	}
	for _, name := range names {
		if works {
			if err := t.downOne(ctx, name); err != nil {
				return err
			}
		}
	}
	if works && client.Host != "" {
		t.removeKindNetwork(ctx, client)
	}
	if err := t.daemon().Stop(); err != nil {
		return fmt.Errorf("stopping the tool's Docker daemon: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(t.dirs.State, "clusters")); err != nil {
		return fmt.Errorf("removing the files of clusters: %w", err)
	}
	t.log.Note("caches are kept in %s (clean-cache removes them)", t.dirs.Cache)
	return nil
}

// removeKindNetwork takes kind's bridge away, which would outlive the daemon. That it is in use, or was
// never made, is no reason to leave the rest.
func (t *tool) removeKindNetwork(ctx context.Context, client docker.Client) {
	if _, err := client.Run(ctx, "network", "rm", "kind"); err != nil {
		t.log.Note("kind's network stays: %v", err)
	}
}

// recorded are the clusters that this tool has files of, complete or not.
func (t *tool) recorded() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(t.dirs.State, "clusters"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing clusters: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
