package importlaw

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestRepositoryKeepsTheLaw(t *testing.T) {
	violations, err := Check(os.DirFS(filepath.Join("..", "..", "..")))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
}

// TestLawFires has a tree that breaks every rule once, beside files that are just right.
func TestLawFires(t *testing.T) {
	got, err := Check(os.DirFS(filepath.Join("testdata", "bad")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"apis/v1/v1.go imports github.com/multinet-dev/multinet/operator/ipam: apis is the contract that all rooms share",
		"apis/v1/v1_test.go imports github.com/multinet-dev/multinet: apis is the contract that all rooms share",
		"kubectl-multinet/lint/lint.go imports github.com/multinet-dev/multinet/operator/decide: the plugin knows the contract alone",
		"kubectl-multinet/lint/lint_test.go imports github.com/multinet-dev/multinet/node-agent/plan: the plugin knows the contract alone",
		"node-agent/attach/attach.go imports github.com/vishvananda/netlink/nl: only node-agent/{plumb,kernel,qos} talk to the kernel",
		"node-agent/attach/attach_linux.go imports github.com/vishvananda/netns: only node-agent/{plumb,kernel,qos} talk to the kernel",
		"node-agent/attach/attach_linux.go imports github.com/google/nftables/expr: only node-agent/{plumb,kernel,qos} talk to the kernel",
		"node-agent/main.go imports github.com/multinet-dev/multinet/operator: operator and node-agent meet in the API only",
		"node-agent/main.go imports sigs.k8s.io/controller-runtime/pkg/client: the agent runs on every node and stays small",
		"node-agent/multinet-cni/main.go imports k8s.io/client-go/rest: linking client-go costs the shim 8 ms for each call",
		"node-agent/plan/plan.go imports os: plan is pure",
		"operator/decide/decide.go imports sigs.k8s.io/controller-runtime: decide is pure",
		"operator/ipam/ipam.go imports k8s.io/client-go/kubernetes: ipam is pure",
		"operator/main_test.go imports github.com/multinet-dev/multinet/node-agent/plan: operator and node-agent meet in the API only",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLawNeedsGo(t *testing.T) {
	if _, err := Check(fstest.MapFS{"x.go": {Data: []byte("this is not Go")}}); err == nil {
		t.Error("a file that is not Go is taken for a good one")
	}
}
