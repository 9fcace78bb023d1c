// Package cluster reaches a running test cluster of hack/cluster: its API, its nodes, its pods. The demo and the
// end-to-end tests share it, and the machine needs neither kubectl nor a container runtime's client for it.
package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Cluster is a running cluster.
type Cluster struct {
	client.WithWatch
	// Name is that of hack/cluster; its nodes are the Docker containers NAME-control-plane, NAME-worker, NAME-worker2.
	Name string
	// Config reaches the API as cluster-admin.
	Config *rest.Config
	// dockerHost is the daemon that runs the nodes; empty for the client's default.
	dockerHost string
	// VM is the node that is no container, or nil.
	VM *VMNode
}

// Connect opens the cluster that Up made.
func Connect(tool Tool) (*Cluster, error) {
	kubeconfig, err := tool.Kubeconfig()
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: reading %s: %w", tool.Name, kubeconfig, err)
	}
	// The default limit of 5 requests a second would be the slowest part of every test.
	config.QPS, config.Burst = 200, 400
	if err := v1alpha1.AddToScheme(clientscheme.Scheme); err != nil {
		return nil, fmt.Errorf("registering the API types: %w", err)
	}
	// What goes wrong is returned here, and never logged.
	log.SetLogger(logr.Discard())
	c, err := client.NewWithWatch(config, client.Options{Scheme: clientscheme.Scheme})
	if err != nil {
		return nil, fmt.Errorf("cluster %s: connecting: %w", tool.Name, err)
	}
	return &Cluster{WithWatch: c, Name: tool.Name, Config: config, dockerHost: tool.dockerHost()}, nil
}

// ControlPlane is the node that has an administrator's kubectl.
func (c *Cluster) ControlPlane() string { return c.Name + "-control-plane" }

// Command is a command on a node, as root. Its standard error and output are still free to be set.
func (c *Cluster) Command(ctx context.Context, node string, command ...string) *exec.Cmd {
	if c.VM != nil && node == c.VM.Name {
		return c.VM.command(ctx, command...)
	}
	return c.docker(ctx, append([]string{"exec", "-i", node}, command...)...)
}

func (c *Cluster) docker(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	if c.dockerHost != "" {
		cmd.Env = append(os.Environ(), "DOCKER_HOST="+c.dockerHost)
	}
	return cmd
}

// OnNode runs a command on a node and returns its output. The error holds what the command wrote.
func (c *Cluster) OnNode(ctx context.Context, node string, command ...string) (string, error) {
	return output(c.Command(ctx, node, command...), "on node "+node+": "+strings.Join(command, " "))
}

// Detached starts a command on a node and leaves it running.
func (c *Cluster) Detached(ctx context.Context, node string, command ...string) (string, error) {
	return output(c.docker(ctx, append([]string{"exec", "-d", node}, command...)...), "on node "+node+": "+strings.Join(command, " "))
}

// Kubectl runs kubectl with stdin, which may be nil, and returns its output.
func (c *Cluster) Kubectl(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	cmd := c.Command(ctx, c.ControlPlane(), append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)...)
	cmd.Stdin = stdin
	return output(cmd, "kubectl "+strings.Join(args, " "))
}

// InPod runs a command in the pod's first container and returns its output.
func (c *Cluster) InPod(ctx context.Context, pod *corev1.Pod, command ...string) (string, error) {
	if c.VM != nil && pod.Spec.NodeName == c.VM.Name {
		return output(c.VM.inPod(ctx, pod, command...), "in pod "+pod.Name+": "+strings.Join(command, " "))
	}
	args := append([]string{"exec", "--namespace", pod.Namespace, pod.Name, "--"}, command...)
	return c.Kubectl(ctx, nil, args...)
}

// output runs cmd; what names it in the error.
func output(cmd *exec.Cmd, what string) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", what, err, strings.TrimSpace(stdout.String()+stderr.String()))
	}
	return stdout.String(), nil
}
