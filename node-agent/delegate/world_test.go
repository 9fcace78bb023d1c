package delegate

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/cni/cnitest"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/ledger"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// programs are the plugins, built once for all tests.
var programs = cnitest.NewPrograms("main/bridge", "main/ptp", "meta/tuning", "meta/portmap", "ipam/host-local")

func TestMain(m *testing.M) { programs.Main(m) }

// lab is a node with CNI plugins, and one sandbox on it.
type lab struct {
	*Plugins
	t         *testing.T
	dir       string
	node, pod *kernel.Namespace
	sandbox   sandboxes.Sandbox
}

// newLab has the named reference plugins, or scripts by their text, on the node; allowed are those that may run.
func newLab(t *testing.T, allowed []string, scripts map[string]string) *lab {
	kerneltest.RequireRoot(t, "network namespaces, and the plugins")
	l := &lab{t: t, dir: t.TempDir(), node: kerneltest.Namespace(t, "node")}
	bin, err := programs.Dir()
	l.must(err)
	l.must(os.Mkdir(l.path("bin"), 0o755))
	for _, plugin := range []string{"bridge", "ptp", "tuning", "portmap", "host-local"} {
		l.must(os.Symlink(filepath.Join(bin, plugin), filepath.Join(l.path("bin"), plugin)))
	}
	for plugin, text := range scripts {
		l.must(os.WriteFile(filepath.Join(l.path("bin"), plugin), []byte("#!/bin/sh\n"+text), 0o755)) //nolint:gosec // It is a program.
	}
	l.sandbox = sandboxes.Sandbox{ID: "box", Namespace: "demo", Name: "web", PodUID: "uid", NetNS: l.path("netns")}
	l.pod, err = kerneltest.CreateNamespace(l.sandbox.NetNS)
	l.must(err)
	t.Cleanup(func() {
		if _, err := os.Stat(l.sandbox.NetNS); err == nil {
			l.endNamespace()
		}
	})
	l.restart(allowed)
	return l
}

// restart is what the next agent finds.
func (l *lab) restart(allowed []string) {
	l.t.Helper()
	records, err := ledger.OpenDurableFolder[Record](l.path("records"))
	l.must(err)
	l.Plugins = New(Options{
		Log: logr.Discard(), Allowed: allowed, BinDir: l.path("bin"), Node: l.node.Do, LinkDir: l.path("links"), StateDir: l.path("state"),
		DeviceInfo: sandboxes.DeviceInfo{Dir: l.path("devinfo")}, Records: records, Look: attach.Look, NamespaceLives: sandboxes.NamespaceLives,
	})
	l.Ready()
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) endNamespace() {
	_ = l.pod.Close()
	l.must(kerneltest.RemoveNamespace(l.sandbox.NetNS))
}

// attachment of the config, whose %DATA% is where host-local keeps its addresses and %DIR% the lab's folder.
func (l *lab) attachment(config string) plan.Attachment {
	config = strings.NewReplacer("%DATA%", l.path("addresses"), "%DIR%", l.dir).Replace(config)
	if !json.Valid([]byte(config)) {
		l.t.Fatalf("no JSON: %s", config)
	}
	return plan.Attachment{Name: "a", Network: "lan", Interface: "net1", CNI: &plan.CNI{Config: config}}
}

// nothingLeft fails where an interface, an address or a note of one is still there.
func (l *lab) nothingLeft() {
	l.t.Helper()
	for _, folder := range []string{"addresses/lan", "records", "state/libcni/results"} {
		entries, _ := os.ReadDir(l.path(folder))
		for _, entry := range entries {
			if !slices.Contains([]string{"lock", "last_reserved_ip.0"}, entry.Name()) {
				l.t.Errorf("%s is left in %s", entry.Name(), folder)
			}
		}
	}
	// The kernel takes what is in a namespace that ended in its own time.
	kerneltest.Eventually(l.t, "no link of plugins is on the node", func() bool {
		links, err := plumb.Links(l.node)
		l.must(err)
		return !slices.ContainsFunc(links, func(link plumb.Link) bool { return strings.HasPrefix(link.Name, "veth") })
	})
	if sandboxes.NamespaceLives(l.sandbox.NetNS) {
		if _, found, err := attach.Look(l.sandbox.NetNS, "net1"); found || err != nil {
			l.t.Errorf("the pod has its interface, %v", err)
		}
	}
}

// taken are the addresses that host-local has given out.
func (l *lab) taken() string {
	found, err := filepath.Glob(l.path("addresses/lan/10.*"))
	l.must(err)
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return strings.Join(found, " ")
}

// calls are the verbs and arguments that scripts have noted.
func (l *lab) calls() string {
	text, _ := os.ReadFile(l.path("calls"))
	return strings.Join(strings.Fields(string(text)), " ")
}

func none(string) bool { return false }

const onBridge = `{"cniVersion": "1.1.0", "name": "lan", "type": "bridge", "bridge": "br0", "isGateway": true,
	"ipam": {"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": "%DATA%"}}`

func (l *lab) fails(want string, err error) {
	l.t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		l.t.Errorf("got %v, want %s", err, want)
	}
}
