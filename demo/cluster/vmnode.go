package cluster

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	corev1 "k8s.io/api/core/v1"
)

// VMLabel is label and taint of a node in a virtual machine.
const VMLabel = "multinet.dev/vm-node"

// VMNode is a virtual machine that hack/cluster runs as a node, with SR-IOV cards that have real virtual functions.
type VMNode struct {
	Name    string
	tool    Tool
	process *exec.Cmd
}

// StartVMNode boots one with network cards named pf0, pf1 …, and returns when its Node is Ready. It has the agent's image and
// those of the archives.
func (t Tool) StartVMNode(ctx context.Context, cards int, archives ...string) (*VMNode, error) {
	if err := t.build(ctx); err != nil {
		return nil, err
	}
	args := []string{"vm-node", "--name", t.Name, "--pfs", strconv.Itoa(cards)}
	for _, archive := range append([]string{filepath.Join(t.Repository, "bin", "images", "agent.tar")}, archives...) {
		args = append(args, "--image", archive)
	}
	process := exec.Command(t.program(), args...)
	process.Dir, process.Stderr = t.Repository, t.Progress
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	output, err := process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := process.Start(); err != nil {
		return nil, fmt.Errorf("starting a node in a virtual machine: %w", err)
	}
	name, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the node in a virtual machine did not become Ready; hack/cluster says why above: %w", errors.Join(err, process.Wait()))
	}
	return &VMNode{Name: strings.TrimSpace(name), tool: t, process: process}, nil
}

// Stop removes the node.
func (v *VMNode) Stop() error {
	if err := v.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping node %s: %w", v.Name, err)
	}
	if err := v.process.Wait(); err != nil {
		return fmt.Errorf("stopping node %s: %w", v.Name, err)
	}
	return nil
}

// command is a command in the machine. It has no standard input.
func (v *VMNode) command(ctx context.Context, command ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, v.tool.program(), append([]string{"vm-exec", "--name", v.tool.Name, "--"}, command...)...)
	cmd.Dir = v.tool.Repository
	return cmd
}

// inPod is a command in the first container of a pod there, which kubectl cannot reach.
func (v *VMNode) inPod(ctx context.Context, pod *corev1.Pod, command ...string) *exec.Cmd {
	if len(pod.Status.ContainerStatuses) == 0 {
		return v.command(ctx, "false")
	}
	id := strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
	// Each needs a name of its own.
	script := `name=$(cat /proc/sys/kernel/random/uuid); exec ctr --namespace k8s.io tasks exec --exec-id "$name" "$@"`
	return v.command(ctx, append([]string{"sh", "-c", script, "sh", id}, command...)...)
}
