package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/hack/cluster/dirs"
	"github.com/multinet-dev/multinet/hack/cluster/kindcluster"
	"github.com/multinet-dev/multinet/hack/cluster/nodeimage"
	"github.com/multinet-dev/multinet/hack/cluster/vm"
	"github.com/multinet-dev/multinet/hack/cluster/vmnode"
)

// vmNode runs a virtual machine as a node of a cluster until it is interrupted. When the node is Ready its name is printed.
func vmNode(ctx context.Context, t *tool, args []string) (err error) {
	flags := flag.NewFlagSet("vm-node", flag.ContinueOnError)
	name := flags.String("name", defaultName, "name of the cluster")
	pfs := flags.Int("pfs", 1, "network cards with 7 virtual functions each")
	var images list
	flags.Var(&images, "image", "archive to import; repeatable, the first one is there when the node is Ready")
	if err := parse(flags, args); err != nil {
		return err
	}
	c, record, err := t.recordedCluster(ctx, *name)
	if err != nil {
		return err
	}
	lock, err := dirs.Acquire(ctx, vmnode.Folder(c), 0, t.log.Note)
	if err != nil {
		return fmt.Errorf("a cluster has at most one node in a virtual machine: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	node := vmnode.Node{
		Cluster: c, Assets: vm.Assets{Cache: t.dirs.Cache, Log: t.log}, Repository: t.repository,
		PFs: *pfs, Images: images, Name: *name + "-vm-" + strings.ToLower(rand.Text()[:5]),
	}
	err = t.locked(ctx, t.dirs.Cache, func() error { return t.furnish(ctx, &node, record) })
	if err != nil {
		return err
	}
	return node.Run(ctx, func() { fmt.Println(node.Name) })
}

// furnish makes what the cache lacks. kind's own node image has no testbox.
func (t *tool) furnish(ctx context.Context, n *vmnode.Node, record *kindcluster.Record) (err error) {
	if err := n.Assets.Build(ctx); err != nil {
		return fmt.Errorf("virtual machine: %w", err)
	}
	if n.Disk, err = vmnode.EnsureDisk(ctx, t.dirs.Cache, n.Cluster.Docker, record.Image, t.log); err != nil || record.OwnCNI {
		return err
	}
	builder, err := t.images(ctx, n.Cluster.Docker)
	if err != nil {
		return err
	}
	file := filepath.Join(vmnode.Folder(n.Cluster), filepath.Base(nodeimage.Testbox)+".tar")
	n.Images = append(n.Images, file)
	return builder.WriteTestbox(ctx, file)
}

// vmExec runs a command in the virtual machine that vm-node runs.
func vmExec(ctx context.Context, t *tool, args []string) error {
	flags := flag.NewFlagSet("vm-exec", flag.ContinueOnError)
	name := flags.String("name", defaultName, "name of the cluster")
	if err := flags.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if flags.NArg() == 0 {
		return errors.New("vm-exec: say what to run")
	}
	c := kindcluster.Cluster{Files: kindcluster.Files{Folder: t.dirs.Cluster(*name)}}
	return vmnode.Exec(ctx, vmnode.Control(c), flags.Args(), os.Stdout, os.Stderr)
}
