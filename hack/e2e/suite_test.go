//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/multinet-dev/multinet/demo/cluster"
)

// The cluster that all tests share, and its worker nodes. Tests that hurt one node run beside tests of the others. A and B
// are in rack a, C and D in rack b.
var (
	tool         cluster.Tool
	multi        *cluster.Cluster
	nodeA, nodeB string
	nodeC, nodeD string
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx := context.Background()
	repository, err := cluster.FindRepository()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		return 1
	}
	tool = cluster.TwoRacks(repository, "multinet-test")
	tool.Fabrics = append(tool.Fabrics, "solo=worker2")
	if os.Getenv("MULTINET_E2E_KEEP") == "" {
		defer func() {
			if err := tool.Down(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "error:", err)
			}
		}()
	}
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error: setting up the cluster:", err)
		return 1
	}
	return m.Run()
}

// setUp can be repeated on a cluster that was kept.
func setUp(ctx context.Context) (err error) {
	if err := tool.Up(ctx); err != nil {
		return err
	}
	if err := tool.Load(ctx); err != nil {
		return err
	}
	if err := buildGPUDriver(ctx); err != nil {
		return err
	}
	if multi, err = cluster.Connect(tool); err != nil {
		return err
	}
	nodeA, nodeB = tool.Name+"-worker", tool.Name+"-worker2"
	nodeC, nodeD = tool.Name+"-worker3", tool.Name+"-worker4"
	if err := multi.Install(ctx, tool.Repository, filepath.Join("testdata", "uplinks.yaml")); err != nil {
		return err
	}
	if err := allowAbsence(ctx); err != nil {
		return err
	}
	if err := keepOperator(ctx); err != nil {
		return err
	}
	if err := giveCNIFolders(ctx); err != nil {
		return err
	}
	if err := multi.WaitRollout(ctx, 3*time.Minute); err != nil {
		return err
	}
	return startBystanders(ctx)
}

// buildProgram makes a static program of a package of the suite.
func buildProgram(ctx context.Context, source, binary string) error {
	build := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-trimpath", "-ldflags", "-s -w", "-o", binary, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s: %w: %s", source, err, out)
	}
	return nil
}

// absentLabel on a node keeps the agent away from it.
const absentLabel = "e2e.multinet.dev/no-agent"

// allowAbsence makes the DaemonSet heed absentLabel.
func allowAbsence(ctx context.Context) error {
	_, err := multi.Kubectl(ctx, nil, "patch", "daemonset", "multinet-agent", "--namespace", cluster.Namespace, "--patch",
		`{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":`+
			`{"nodeSelectorTerms":[{"matchExpressions":[{"key":"`+absentLabel+`","operator":"DoesNotExist"}]}]}}}}}}}`)
	return err
}

// keepOperator keeps the operator on a node that no test stops: those of other nodes run meanwhile.
func keepOperator(ctx context.Context) error {
	_, err := multi.Kubectl(ctx, nil, "patch", "deployment", "multinet-operator", "--namespace", cluster.Namespace, "--patch",
		`{"spec":{"template":{"spec":{"nodeSelector":{"`+corev1.LabelHostname+`":"`+nodeA+`"}}}}}`)
	return err
}

// giveCNIFolders patches the DaemonSet as README says it for nodes without NRI. Nodes that are not named in cniNodes have no use for it.
func giveCNIFolders(ctx context.Context) error {
	patch, err := os.Open(filepath.Join(tool.Repository, "manifests", "agent", "cni-door.yaml"))
	if err != nil {
		return err
	}
	defer patch.Close()
	_, err = multi.Kubectl(ctx, patch, "--namespace", cluster.Namespace, "patch", "daemonset", "multinet-agent", "--patch-file", "/dev/stdin")
	return err
}
