package main

import (
	"context"
	"flag"
	"fmt"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/preflight"
)

func preflightCommand(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("preflight", flag.ContinueOnError)
	workers := flags.Int("workers", 2, "number of worker nodes to be made")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := t.preflight(ctx, *workers); err != nil {
		return err
	}
	t.log.Note("this machine will do; no port has to be free, Docker chooses one for the API server")
	return nil
}

func (t *tool) preflight(ctx context.Context, workers int) error {
	facts, err := preflight.Gather(t.dirs.State, t.dirs.Cache)
	if err != nil {
		return fmt.Errorf("looking at this machine: %w", err)
	}
	facts.Workers = workers
	_, works, err := t.runningDocker(ctx)
	if err != nil {
		return err
	}
	facts.DockerWorks = works
	if !works && facts.Dockerd {
		facts.SocketServed = t.daemon().Client().Works(ctx)
	}
	if facts.ImageCached, err = t.imageCached(ctx, facts.Go); err != nil {
		return err
	}
	if err := preflight.Check(facts); err != nil {
		return fmt.Errorf("this machine is not ready:\n- %s", strings.ReplaceAll(err.Error(), "\n", "\n- "))
	}
	return nil
}

// imageCached looks into the cache folder alone where no Docker daemon runs yet.
func (t *tool) imageCached(ctx context.Context, haveGo bool) (bool, error) {
	if !haveGo {
		return false, nil
	}
	client, works, err := t.runningDocker(ctx)
	if err != nil {
		return false, err
	}
	b, err := t.images(ctx, client)
	if err != nil {
		return false, err
	}
	name, err := b.Name()
	if err != nil {
		return false, err
	}
	if !works {
		return b.InCache(name)
	}
	return b.Cached(ctx, name)
}
