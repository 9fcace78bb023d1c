package main

import (
	"context"
	"errors"
	"flag"
	"fmt"

	"github.com/multinet-dev/multinet/hack/cluster/binaries"
	"github.com/multinet-dev/multinet/hack/cluster/dirs"
)

func (t *tool) builder() binaries.Builder { return binaries.Builder{Cache: t.dirs.Cache, Log: t.log} }

// envtestAssets needs neither root nor Docker, and so takes only the lock of the cache.
func envtestAssets(ctx context.Context, t *tool, args []string) (err error) {
	if err := parse(flag.NewFlagSet("envtest-assets", flag.ContinueOnError), args); err != nil {
		return err
	}
	lock, err := dirs.Acquire(t.dirs.Cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	set, err := binaries.LoadSet(ctx, t.repository)
	if err != nil {
		return err
	}
	folder, err := t.builder().EnsureEnvtest(ctx, set)
	if err != nil {
		return err
	}
	fmt.Println(folder)
	return nil
}
