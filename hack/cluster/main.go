// Command cluster runs Multinet's test clusters: kind clusters with several network fabrics, on machines
// with and without a container registry in reach. See hack/README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/multinet-dev/multinet/hack/cluster/dirs"
	"github.com/multinet-dev/multinet/hack/cluster/progress"
	"github.com/multinet-dev/multinet/hack/cluster/runcwrap"
	"github.com/multinet-dev/multinet/hack/cluster/vm"
)

func main() { os.Exit(run()) }

func run() int {
	// Docker starts a copy of this program under the wrapper's name in place of runc.
	if filepath.Base(os.Args[0]) == runcwrap.Name {
		fmt.Fprintln(os.Stderr, runcwrap.Exec(os.Args[1:]))
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := dispatch(ctx, os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return 2
	}
	// The guest's command has said itself why it failed.
	var exit vm.Exit
	if errors.As(err, &exit) {
		return int(exit)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

// tool is what every subcommand works with.
type tool struct {
	dirs       dirs.Dirs
	repository string
	log        *progress.Log
	getenv     func(string) string
}

func newTool() (*tool, error) {
	d, err := dirs.FromEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("asking for the working folder: %w", err)
	}
	repository, err := dirs.Repository(here)
	if err != nil {
		return nil, err
	}
	return &tool{dirs: d, repository: repository, log: progress.New(os.Stderr, time.Now), getenv: os.Getenv}, nil
}
