// Command demo brings up a cluster with Multinet and the examples of demo/storage and demo/racks, checks them, and removes it
// again.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/multinet-dev/multinet/demo/check"
	"github.com/multinet-dev/multinet/demo/cluster"
)

const usage = `usage: go run ./demo up | check | down
  up     start the cluster "multinet-demo" with Multinet and the examples, and check them; safe to repeat
  check  check the examples again
  down   remove the cluster, and the Docker daemon if it was started for it`

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, usage)
		return 2
	}
	repository, err := cluster.FindRepository()
	if err == nil {
		d := &demo{tool: cluster.TwoRacks(repository, "multinet-demo"), start: time.Now()}
		err = d.do(ctx, os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	return 0
}

type demo struct {
	tool    cluster.Tool
	cluster *cluster.Cluster
	start   time.Time
}

func (d *demo) do(ctx context.Context, command string) error {
	switch command {
	case "up":
		return d.up(ctx)
	case "check":
		return errors.Join(d.step(ctx, "connecting to the cluster", d.connect), d.check(ctx))
	case "down":
		return d.step(ctx, "removing the cluster", d.tool.Down)
	}
	return fmt.Errorf("there is no command %q\n%s", command, usage)
}

func (d *demo) up(ctx context.Context) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"starting a cluster of 4 workers in 2 racks, a storage fabric on eth1 and one of each rack on eth2", d.tool.Up},
		{"loading the images of Multinet", d.tool.Load},
		{"connecting to the cluster", d.connect},
		{"installing manifests/multinet.yaml, with eth1 and eth2 as uplinks", d.install},
		{"waiting for the operator and the agents", d.rollout},
		{"creating Network storage and two pods on it", d.storage},
		{"creating Networks rack-nic and rack-overlay and two pods in each rack", d.racks},
	}
	for _, s := range steps {
		if err := d.step(ctx, s.what, s.do); err != nil {
			return err
		}
	}
	return d.check(ctx)
}

// step reports how long something took.
func (d *demo) step(ctx context.Context, what string, do func(context.Context) error) error {
	fmt.Printf("== %s\n", what)
	start := time.Now()
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	fmt.Printf("== done in %.1fs (%.1fs in all)\n", time.Since(start).Seconds(), time.Since(d.start).Seconds())
	return nil
}

func (d *demo) connect(context.Context) (err error) {
	d.cluster, err = cluster.Connect(d.tool)
	return err
}

func (d *demo) install(ctx context.Context) error {
	return d.cluster.Install(ctx, d.tool.Repository, check.Uplinks(d.tool.Repository))
}

func (d *demo) rollout(ctx context.Context) error { return d.cluster.WaitRollout(ctx, 3*time.Minute) }

func (d *demo) storage(ctx context.Context) error {
	return check.StorageExample(d.cluster, os.Stdout).Apply(ctx, d.tool.Repository)
}

func (d *demo) racks(ctx context.Context) error {
	return check.RacksExample(d.cluster, os.Stdout).Apply(ctx, d.tool.Repository)
}

func (d *demo) check(ctx context.Context) error {
	if d.cluster == nil {
		return nil
	}
	if err := d.step(ctx, "checking Network storage", check.StorageExample(d.cluster, os.Stdout).Run); err != nil {
		return err
	}
	if err := d.step(ctx, "checking Networks rack-nic and rack-overlay", check.RacksExample(d.cluster, os.Stdout).Run); err != nil {
		return err
	}
	return d.lookAround()
}

// lookAround says how to go on. kubectl need not be installed: the nodes have one.
func (d *demo) lookAround() error {
	kubeconfig, err := d.tool.Kubeconfig()
	if err != nil {
		return err
	}
	fmt.Printf(`The examples work. Look around as in the README's "A pod of your own":
  export KUBECONFIG=%s
Without a kubectl of your own: $(go -C hack/cluster run . envtest-assets)/kubectl
`, kubeconfig)
	return nil
}
