package kindcluster

import (
	"encoding/json"
	"net/netip"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

func TestConfig(t *testing.T) {
	c := config(Request{Name: "dev", Workers: 2}, Files{Folder: "/state/dev"}, true)
	var roles []v1alpha4.NodeRole
	for _, n := range c.Nodes {
		roles = append(roles, n.Role)
	}
	if diff := cmp.Diff([]v1alpha4.NodeRole{"control-plane", "worker", "worker"}, roles); diff != "" {
		t.Errorf("roles (-want +got)\n%s", diff)
	}
	if !c.Networking.DisableDefaultCNI || c.Networking.KubeProxyMode != "nftables" || c.Networking.APIServerPort != 0 {
		t.Errorf("networking: %+v", c.Networking)
	}
	if config(Request{Name: "dev"}, Files{}, false).Networking.DisableDefaultCNI {
		t.Error("kind's own image needs kindnet")
	}
}

// A misspelt key would be ignored by containerd: pods would start without the plugin that they require, and nodes be busy with
// counting.
func TestContainerdPatches(t *testing.T) {
	patches := config(Request{Name: "dev"}, Files{}, true).ContainerdConfigPatches
	want := []string{
		"[plugins.\"io.containerd.nri.v1.nri\".default_validator]\n  enable = true\n",
		"[plugins.\"io.containerd.cri.v1.runtime\"]\n  stats_collect_period = \"30s\"\n",
	}
	if diff := cmp.Diff(want, patches); diff != "" {
		t.Errorf("containerd patches (-want +got)\n%s", diff)
	}
}

func TestAuditPatchPointsAtTheMounts(t *testing.T) {
	var patch []struct {
		Op, Path string
		Value    any
	}
	if err := yaml.Unmarshal([]byte(auditPatch), &patch); err != nil {
		t.Fatal(err)
	}
	if len(patch) != 5 {
		t.Errorf("%d operations", len(patch))
	}
	for _, mount := range config(Request{Name: "dev"}, Files{Folder: "/s"}, true).Nodes[0].ExtraMounts {
		if !strings.Contains(auditPatch, "hostPath: "+mount.ContainerPath) {
			t.Errorf("the API server does not see %s", mount.ContainerPath)
		}
	}
}

func TestNetworkNamesSortBehindKindInOrder(t *testing.T) {
	names := []string{"kind", networkName("a", 0, "z"), networkName("a", 1, "b")}
	if !sort.StringsAreSorted(names) {
		t.Errorf("interfaces would change their order when a node restarts: %v", names)
	}
}

func TestPrefixesAndPeers(t *testing.T) {
	all, err := parsePrefixes("dev-control-plane 10.244.0.0/24\ndev-worker 10.244.1.0/24\n")
	if err != nil {
		t.Fatal(err)
	}
	if got := peers(all[1], all); got != "10.244.0.0/24 dev-control-plane\n" {
		t.Errorf("peers: %q", got)
	}
	if _, err := parsePrefixes("dev-worker \n"); err == nil || !strings.Contains(err.Error(), "dev-worker has no pod prefix yet") {
		t.Errorf("got %v", err)
	}
}

func TestConflist(t *testing.T) {
	data, err := conflist(netip.MustParsePrefix("10.244.1.0/24"))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Plugins []struct {
			Type string
			IPAM struct{ Ranges [][]struct{ Subnet string } }
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Plugins[0].Type != "bridge" || got.Plugins[0].IPAM.Ranges[0][0].Subnet != "10.244.1.0/24" {
		t.Errorf("got %s", data)
	}
}

func TestRecord(t *testing.T) {
	files := Files{Folder: t.TempDir()}
	if r, err := files.Read(); r != nil || err != nil {
		t.Fatalf("no record yet: %v, %v", r, err)
	}
	want := Record{Request: Request{Name: "dev", Workers: 1}, Image: "i", OwnCNI: true}
	if err := files.write(want); err != nil {
		t.Fatal(err)
	}
	got, err := files.Read()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
