package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/multinet-dev/multinet/hack/cluster/archive"
	"github.com/multinet-dev/multinet/hack/cluster/binaries"
	"github.com/multinet-dev/multinet/hack/cluster/dirs"
	"github.com/multinet-dev/multinet/hack/cluster/docker"
	"github.com/multinet-dev/multinet/hack/cluster/nodeimage"
)

func (t *tool) builder() binaries.Builder { return binaries.Builder{Cache: t.dirs.Cache, Log: t.log} }

func (t *tool) daemon() docker.Daemon { return docker.Daemon{Folder: t.dirs.Docker(), Log: t.log} }

func (t *tool) images(ctx context.Context, client docker.Client) (nodeimage.Builder, error) {
	set, err := binaries.LoadSet(ctx, t.repository)
	if err != nil {
		return nodeimage.Builder{}, err
	}
	return nodeimage.Builder{
		Cache: t.dirs.Cache, Repository: t.repository, Docker: client, Programs: t.builder(), Set: set, Log: t.log,
	}, nil
}

// lockLimit is a little more than a cold build takes.
const lockLimit = 30 * time.Minute

// locked runs do while no other run works in the folder.
func (t *tool) locked(ctx context.Context, folder string, do func() error) (err error) {
	lock, err := dirs.Acquire(ctx, folder, lockLimit, t.log.Note)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return do()
}

// envtestAssets needs neither root nor Docker, and no lock if there is nothing to build: tests of several
// packages may ask at once.
func envtestAssets(ctx context.Context, t *tool, args []string) error {
	if err := parse(flag.NewFlagSet("envtest-assets", flag.ContinueOnError), args); err != nil {
		return err
	}
	set, err := binaries.LoadSet(ctx, t.repository)
	if err != nil {
		return err
	}
	folder := t.builder().EnvtestFolder(set)
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		err := t.locked(ctx, t.dirs.Cache, func() error { return t.builder().EnsureEnvtest(ctx, set) })
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	fmt.Println(folder)
	return nil
}

// nodeImage builds the node image ahead of time: CI keeps it between runs.
func nodeImage(ctx context.Context, t *tool, args []string) error {
	if err := parse(flag.NewFlagSet("node-image", flag.ContinueOnError), args); err != nil {
		return err
	}
	if err := t.preflight(ctx, 0); err != nil {
		return err
	}
	return t.locked(ctx, t.dirs.State, func() error {
		b, name, err := t.preparedImages(ctx)
		if err != nil {
			return err
		}
		if err := t.build(ctx, b, name); err != nil {
			return err
		}
		t.log.Summary()
		fmt.Println(name)
		return nil
	})
}

func (t *tool) preparedImages(ctx context.Context) (nodeimage.Builder, string, error) {
	client, err := t.daemon().Ensure(ctx)
	if err != nil {
		return nodeimage.Builder{}, "", err
	}
	b, err := t.images(ctx, client)
	if err != nil {
		return nodeimage.Builder{}, "", err
	}
	name, err := b.Name()
	return b, name, err
}

func (t *tool) build(ctx context.Context, b nodeimage.Builder, name string) error {
	return t.locked(ctx, t.dirs.Cache, func() error { return b.Ensure(ctx, name) })
}

// image packs static programs; it needs neither root nor Docker.
func image(_ context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	name := flags.String("name", "", "`REPO:TAG` of the image")
	out := flags.String("out", "", "archive to write")
	var programs list
	flags.Var(&programs, "binary", "static program for /usr/local/bin; repeatable, the first is the entrypoint")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *name == "" || *out == "" {
		return fmt.Errorf("image: --name and --out are needed")
	}
	built, err := archive.Binaries(*name, programs)
	if err != nil {
		return err
	}
	if err := archive.Write(*out, []archive.Image{built}); err != nil {
		return err
	}
	t.log.Note("image %s is in %s", *name, *out)
	return nil
}

// testbox writes the testbox image to a file, for clusters that this tool did not make.
func testbox(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("testbox", flag.ContinueOnError)
	out := flags.String("out", "testbox.tar", "archive to write")
	if err := parse(flags, args); err != nil {
		return err
	}
	return t.locked(ctx, t.dirs.Cache, func() error {
		b, err := t.images(ctx, docker.Client{})
		if err != nil {
			return err
		}
		return b.WriteTestbox(ctx, *out)
	})
}

// cleanCache removes what can be built again. Running clusters don't need it.
func cleanCache(ctx context.Context, t *tool, args []string) error {
	if err := parse(flag.NewFlagSet("clean-cache", flag.ContinueOnError), args); err != nil {
		return err
	}
	return t.locked(ctx, t.dirs.Cache, func() error {
		if err := os.RemoveAll(t.dirs.Cache); err != nil {
			return fmt.Errorf("removing cache: %w", err)
		}
		t.log.Note("%s is removed", t.dirs.Cache)
		return nil
	})
}
