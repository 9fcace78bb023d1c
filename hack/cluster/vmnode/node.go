// Package vmnode makes a virtual machine a node of a kind cluster: its pods can have what the machine's own kernel lacks,
// real virtual functions above all. It runs the programs and images of the cluster's node image on a Debian kernel.
package vmnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/multinet-dev/multinet/hack/cluster/kindcluster"
	"github.com/multinet-dev/multinet/hack/cluster/vm"
)

// Node is one run of the machine. A cluster has at most one.
type Node struct {
	Cluster    kindcluster.Cluster
	Assets     vm.Assets
	Repository string
	Disk       string // as EnsureDisk made it
	PFs        int
	Images     []string // archives to import beyond the node image's own; the first is there when the node is, the rest a little later
	Name       string   // one per run: nothing of an earlier one must be taken for this one's
}

// readyLimit is for a machine that is busy otherwise; alone it takes half a minute.
const readyLimit = 4 * time.Minute

// Run boots the machine, calls ready once its Node is, and ends with the context, or with an error if the machine does.
// Whichever way, neither Node nor credentials are left.
func (n Node) Run(ctx context.Context, ready func()) error {
	if err := n.removeNodes(ctx); err != nil {
		return fmt.Errorf("removing what an interrupted run left: %w", err)
	}
	if err := n.keepProxyOff(ctx); err != nil {
		return fmt.Errorf("keeping kube-proxy off node %s: %w", n.Name, err)
	}
	begun := false
	err := n.try(ctx, func() { begun = true; ready() })
	if err != nil && !begun && ctx.Err() == nil {
		// Emulated, about one boot in sixty fails by itself.
		n.Assets.Log.Note("once more: %v", err)
		err = n.try(ctx, ready)
	}
	return err
}

// withoutProxy is for the DaemonSet. The pods that it has stay as they are.
const withoutProxy = `{"spec":{
	"updateStrategy":{"type":"OnDelete","rollingUpdate":null},
	"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{
		"nodeSelectorTerms":[{"matchExpressions":[{"key":"` + kindcluster.VMLabel + `","operator":"DoesNotExist"}]}]}}}}}}}`

// keepProxyOff has the cluster's kube-proxy run on other nodes only: here it would cost what emulates its pod, and find rules in
// its place.
func (n Node) keepProxyOff(ctx context.Context) error {
	_, err := n.Cluster.Kubectl(ctx, nil, "patch", "daemonset/kube-proxy", "--namespace=kube-system", "--patch="+withoutProxy)
	return err
}

// try is one boot. To be interrupted is how it should end.
func (n Node) try(ctx context.Context, ready func()) (err error) {
	control := Control(n.Cluster)
	if err := os.RemoveAll(control); err != nil {
		return fmt.Errorf("node %s: removing an older control folder: %w", n.Name, err)
	}
	defer func() {
		cleanup, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, os.RemoveAll(control), n.removeNodes(cleanup))
	}()
	done := n.Assets.Log.Step("booting node %s", n.Name)
	if err := n.prepare(ctx, control); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := n.Assets.Boot(inner, vm.Guest{PFs: n.PFs, IOMMU: true, Disk: n.Disk}, n.Repository, control)
		return fmt.Errorf("node %s: the machine ended: %w\n%s", n.Name, errors.Join(err, lastWords(control)), vm.ConsoleTail(control))
	})
	group.Go(func() error {
		if err := n.waitReady(inner); err != nil {
			return fmt.Errorf("%w: %w", err, lastWords(control))
		}
		done()
		ready()
		return nil
	})
	if err := group.Wait(); ctx.Err() == nil {
		return err
	}
	return nil
}

func (n Node) waitReady(ctx context.Context) error {
	limit := "--timeout=" + readyLimit.String()
	for _, condition := range []string{"create", "condition=Ready"} {
		if _, err := n.Cluster.Kubectl(ctx, nil, "wait", "--for="+condition, "node/"+n.Name, limit); err != nil {
			return fmt.Errorf("waiting for node %s: %w", n.Name, err)
		}
	}
	return nil
}

// removeNodes removes the Nodes of this and of interrupted runs, and at once the pods that nobody can stop any more. What
// they held is the operator's to take back, as after the loss of any node.
func (n Node) removeNodes(ctx context.Context) error {
	names, err := n.Cluster.Kubectl(ctx, nil, "get", "nodes", "--selector", kindcluster.VMLabel, "--output", "name")
	if err != nil || names == "" {
		return err
	}
	if _, err := n.Cluster.Kubectl(ctx, nil, "delete", "nodes", "--selector", kindcluster.VMLabel); err != nil {
		return err
	}
	for _, name := range nodeNames(names) {
		_, err := n.Cluster.Kubectl(ctx, nil, "delete", "pods", "--all-namespaces", "--field-selector", "spec.nodeName="+name,
			"--force", "--grace-period=0", "--wait=false")
		if err != nil {
			return err
		}
	}
	return nil
}

// lastWords are the end of what the guest's command has said.
func lastWords(control string) error {
	text, err := os.ReadFile(filepath.Join(control, "output"))
	if err != nil {
		return err
	}
	const enough = 2000
	return fmt.Errorf("it has said:\n%s", text[max(0, len(text)-enough):])
}
