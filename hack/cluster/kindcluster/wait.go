package kindcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const readyLimit = 5 * time.Minute

// VMLabel is on a node in a virtual machine, which comes and goes as it likes and has a network of its own.
const VMLabel = "multinet.dev/vm-node"

// ownNodes selects the others.
const ownNodes = "!" + VMLabel

// Kubectl runs kubectl as an administrator inside the control plane, so that the host needs none. stdin may be nil.
func (c Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	return c.Docker.Pipe(ctx, stdin, append([]string{
		"exec", "-i", c.Request.ControlPlane(), "kubectl", "--kubeconfig=/etc/kubernetes/admin.conf",
	}, args...)...)
}

func (c Cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	return c.Kubectl(ctx, nil, args...)
}

// poll repeats a check until it succeeds, the limit is over or the run is interrupted.
func poll(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), last))
		case <-ticker.C:
		}
	}
}

func (c Cluster) waitForAPI(ctx context.Context) error {
	return poll(ctx, 2*time.Minute, "waiting for the API server", func(ctx context.Context) error {
		_, err := c.kubectl(ctx, "get", "--raw", "/readyz")
		return err
	})
}

func (c Cluster) waitForReady(ctx context.Context) error {
	defer c.Log.Step("waiting until all nodes are Ready and DNS runs")()
	limit := "--timeout=" + readyLimit.String()
	if _, err := c.kubectl(ctx, "wait", "--for=condition=Ready", "node", "--selector", ownNodes, limit); err != nil {
		return fmt.Errorf("waiting for nodes: %w", err)
	}
	if _, err := c.kubectl(ctx, "-n", "kube-system", "rollout", "status", "deployment/coredns", limit); err != nil {
		return fmt.Errorf("waiting for CoreDNS: %w", err)
	}
	out, err := c.kubectl(ctx, "get", "nodes", "--selector", ownNodes, "--no-headers")
	if err != nil {
		return err
	}
	if ready := strings.Count(out, " Ready "); ready != len(c.Request.Nodes()) {
		return fmt.Errorf("%d nodes of %d are Ready:\n%s", ready, len(c.Request.Nodes()), out)
	}
	return nil
}
