package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/multinet-dev/multinet/hack/cluster/vm"
)

// virtualMachine runs a command in a guest, in the folder that this one is run in; go test -exec does so with its test
// binaries. Without a command it only builds.
func virtualMachine(ctx context.Context, t *tool, args []string) error {
	var guest vm.Guest
	flags := flag.NewFlagSet("vm", flag.ContinueOnError)
	flags.IntVar(&guest.PFs, "pfs", 0, "network cards with SR-IOV")
	flags.BoolVar(&guest.NUMA, "numa", false, "two NUMA nodes")
	flags.BoolVar(&guest.IOMMU, "iommu", false, "an IOMMU, for VFIO")
	limit := flags.Duration("timeout", 3*time.Minute, "for boot and command")
	if err := flags.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	assets := vm.Assets{Cache: t.dirs.Cache, Log: t.log}
	if !assets.Ready() {
		if err := t.locked(ctx, t.dirs.Cache, func() error { return assets.Build(ctx) }); err != nil {
			return fmt.Errorf("virtual machine: %w", err)
		}
	}
	if flags.NArg() == 0 {
		return nil
	}
	here, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("asking for the working folder: %w", err)
	}
	ours := slices.DeleteFunc(os.Environ(), func(v string) bool { return !strings.HasPrefix(v, "MULTINET_") })
	runner := vm.Runner{Assets: assets, Repository: t.repository, Limit: *limit, Stdout: os.Stdout}
	return runner.Run(ctx, guest, here, ours, flags.Args())
}
