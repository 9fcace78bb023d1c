package cni_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	ktypes "k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/cni/cnitest"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// programs are the plugins, built once for all tests.
var programs = cnitest.NewPrograms("main/bridge", "ipam/host-local")

func TestMain(m *testing.M) { programs.Main(m) }

// lab is a node with an agent, the bridge plugin as the cluster's own network, and libcni as the runtime.
type lab struct {
	*cnitest.Node
	t testing.TB
	// ctx is that of the agent.
	ctx     context.Context
	node    *kernel.Namespace
	runtime *libcni.CNIConfig
}

const primary = `{
  "cniVersion": "1.1.0",
  "name": "primary",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true,
      "ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.244.0.0/16"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    }
  ]
}
`

func newLab(t testing.TB) *lab {
	kerneltest.RequireRoot(t, "CNI plugins in network namespaces")
	bin, err := programs.Dir()
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, ctx: t.Context(), node: kerneltest.Namespace(t, "node")}
	kerneltest.Cable(t, l.node, cnitest.Uplink, kerneltest.Namespace(t, "machine"), "far1")
	dir := t.TempDir()
	l.Node, err = cnitest.New(dir, l.node.Path(), filepath.Join(bin, "multinet-cni"))
	l.must(err)
	l.must(os.WriteFile(filepath.Join(dir, "net.d", "10-primary.conflist"), fmt.Appendf(nil, primary, filepath.Join(dir, "host-local")), 0o600))
	l.must(l.Start(l.ctx))
	t.Cleanup(func() { l.must(l.Stop()) })
	l.runtime = libcni.NewCNIConfigWithCacheDir([]string{bin, filepath.Join(dir, "bin")}, filepath.Join(dir, "cache"), nil)
	return l
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// list is the configuration as the agent has made it.
func (l *lab) list() *libcni.NetworkConfigList {
	l.t.Helper()
	list, err := libcni.ConfListFromFile(filepath.Join(l.Dir, "net.d", "10-primary.conflist"))
	l.must(err)
	return list
}

// pod is a sandbox that the runtime has made.
type pod struct {
	uid ktypes.UID
	ns  *kernel.Namespace
}

func (l *lab) pod(uid string, networks ...string) pod {
	l.t.Helper()
	l.must(l.Prepare(l.t.Context(), ktypes.UID(uid), networks...))
	return pod{ktypes.UID(uid), kerneltest.Namespace(l.t, "pod")}
}

// args are those of the kubelet.
func (p pod) args() *libcni.RuntimeConf {
	return &libcni.RuntimeConf{
		ContainerID: "box-" + string(p.uid), NetNS: p.ns.Path(), IfName: "eth0",
		Args: [][2]string{{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", "ns"}, {"K8S_POD_NAME", string(p.uid)}, {"K8S_POD_UID", string(p.uid)}},
	}
}

// inNode starts plugins where the runtime is.
func (l *lab) inNode(f func() error) error { return l.node.Do(f) }

func (l *lab) add(p pod) (result types.Result, err error) {
	list := l.list()
	err = l.inNode(func() (err error) {
		result, err = l.runtime.AddNetworkList(l.t.Context(), list, p.args())
		return err
	})
	return result, err
}

func (l *lab) check(p pod) error {
	list := l.list()
	return l.inNode(func() error { return l.runtime.CheckNetworkList(l.t.Context(), list, p.args()) })
}

func (l *lab) del(p pod) error {
	list := l.list()
	return l.inNode(func() error { return l.runtime.DelNetworkList(l.t.Context(), list, p.args()) })
}

func (l *lab) gc(valid ...types.GCAttachment) error {
	list := l.list()
	return l.inNode(func() error {
		return l.runtime.GCNetworkList(l.t.Context(), list, &libcni.GCArgs{ValidAttachments: valid})
	})
}

func (l *lab) status() error {
	list := l.list()
	return l.inNode(func() error { return l.runtime.GetStatusNetworkList(l.t.Context(), list) })
}

// interfaces of a pod that are ours.
func (l *lab) interfaces(p pod) (names []string) {
	l.t.Helper()
	links, err := plumb.Links(p.ns)
	l.must(err)
	for _, link := range links {
		if link.Ours {
			names = append(names, link.Name)
		}
	}
	return names
}

func (l *lab) waitEmpty(p pod) {
	l.t.Helper()
	kerneltest.Eventually(l.t, "the links of pod "+string(p.uid)+" are gone", func() bool { return len(l.interfaces(p)) == 0 })
}

// wantCode looks for a CNI error.
func wantCode(t testing.TB, err error, code uint) {
	t.Helper()
	var cni *types.Error
	if !errors.As(err, &cni) || cni.Code != code {
		t.Errorf("error is %v, want code %d", err, code)
	}
}

func TestLife(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage", "backup")
	got, err := l.add(p)
	l.must(err)
	result, err := types100.NewResultFromResult(got)
	l.must(err)
	if len(result.IPs) != 1 || !strings.HasPrefix(result.IPs[0].Address.String(), "10.244.") || len(result.Interfaces) != 3 {
		t.Errorf("the result is not that of the default network alone: %v", result)
	}
	if names := l.interfaces(p); len(names) != 2 {
		t.Errorf("the pod has %v", names)
	}
	l.must(l.check(p))
	l.must(l.status())
	l.must(l.del(p))
	l.waitEmpty(p)
	l.must(l.del(p))
	l.Unprepare(p.uid)
	l.waitNothingLeft()
}

// waitNothingLeft waits until the agent has no file of a pod any more.
func (l *lab) waitNothingLeft() {
	l.t.Helper()
	kerneltest.Eventually(l.t, "no records are left", func() bool {
		left := 0
		for _, folder := range []string{"pods", "selected", "sandboxes", "deleted"} {
			entries, err := os.ReadDir(filepath.Join(l.Dir, folder))
			if err == nil {
				left += len(entries)
			}
		}
		return left == 0
	})
}

func TestManyAtOnce(t *testing.T) {
	for _, n := range []int{10, 50} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := newLab(t)
			// The bridge plugin settles the bridge's MAC with its first pod, and its own CHECK compares that.
			first := l.pod("first")
			_, err := l.add(first)
			l.must(err)
			var pods []pod
			for i := range n {
				pods = append(pods, l.pod(fmt.Sprintf("p%d", i), "storage", "backup"))
			}
			each(t, pods, func(p pod) error {
				if _, err := l.add(p); err != nil {
					return err
				}
				// As CRI-O does.
				return l.check(p)
			})
			for _, p := range pods {
				if names := l.interfaces(p); len(names) != 2 {
					t.Errorf("pod %s has %v", p.uid, names)
				}
			}
			each(t, pods, l.del)
			for _, p := range pods {
				l.waitEmpty(p)
				l.Unprepare(p.uid)
			}
			l.must(l.del(first)) // It has a record too, since it may get interfaces later.
			l.waitNothingLeft()
		})
	}
}

func each(t *testing.T, pods []pod, do func(pod) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range pods {
		all.Go(func() {
			if err := do(p); err != nil {
				t.Errorf("pod %s: %v", p.uid, err)
			}
		})
	}
	all.Wait()
}

func TestPodThatSelectsNothing(t *testing.T) {
	l := newLab(t)
	p := pod{"plain", kerneltest.Namespace(t, "pod")}
	for _, agent := range []string{"there", "away"} {
		t.Run("agent is "+agent, func(t *testing.T) {
			if agent == "away" {
				l.must(l.Stop())
			}
			if _, err := l.add(p); err != nil {
				t.Errorf("ADD: %v", err)
			}
			if err := l.check(p); err != nil {
				t.Errorf("CHECK: %v", err)
			}
			if err := l.del(p); err != nil {
				t.Errorf("DEL: %v", err)
			}
		})
	}
	l.must(l.Start(l.ctx))
	l.waitNothingLeft()
}

func TestAgentIsAway(t *testing.T) {
	l := newLab(t)
	before, during := l.pod("before", "storage"), l.pod("during", "storage")
	_, err := l.add(before)
	l.must(err)
	l.must(l.Stop())

	_, err = l.add(during)
	wantCode(t, err, 11)
	wantCode(t, l.check(before), 11)
	wantCode(t, l.status(), 50)
	// The runtime removes what it could not add, and the other pod ends.
	l.must(l.del(during))
	l.must(l.del(before))
	if names := l.interfaces(before); len(names) != 1 {
		t.Errorf("the plugin itself has changed the pod: %v", names)
	}
	notes, err := os.ReadDir(filepath.Join(l.Dir, "deleted"))
	if err != nil || len(notes) != 2 {
		t.Errorf("notes for the agent: %v, %v", notes, err)
	}
	for _, note := range notes {
		if info, err := note.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("note %s: %v, %v", note.Name(), info.Mode(), err)
		}
	}

	l.must(l.Start(l.ctx))
	l.waitEmpty(before)
	_, err = l.add(during)
	l.must(err)
	l.must(l.check(during))
	l.must(l.del(during))
	l.waitEmpty(during)
	l.Unprepare(before.uid)
	l.Unprepare(during.uid)
	l.waitNothingLeft()
}

// TestNewAgentKnowsSandboxes: no runtime lists them over CNI.
func TestNewAgentKnowsSandboxes(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage")
	_, err := l.add(p)
	l.must(err)
	l.must(l.Stop())
	link, _, err := plumb.FindLink(p.ns, "net1")
	l.must(err)
	l.must(plumb.RemoveLink(p.ns, link.Index))
	l.must(l.Start(l.ctx))
	kerneltest.Eventually(t, "the link is there again", func() bool { return len(l.interfaces(p)) == 1 })
	// Its order goes while the sandbox is there: the address stays in use.
	l.Orders.Remove(p.uid)
	l.must(l.check(p))
	l.must(l.del(p))
	l.waitEmpty(p)
}

// spoilers take something out of a pod. What CHECK has to say of it is the key.
var spoilers = map[string]func(l *lab, p pod, index int) error{
	"interface is missing": func(_ *lab, p pod, index int) error { return plumb.RemoveLink(p.ns, index) },
	"address":              func(l *lab, p pod, index int) error { return l.removeAddress(p, index) },
	"route":                func(l *lab, p pod, index int) error { return l.removeRoute(p, index) },
}

func TestWhatCheckFindsIsRepaired(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage")
	_, err := l.add(p)
	l.must(err)
	for what, spoil := range spoilers {
		t.Run(what, func(t *testing.T) {
			link, _, err := plumb.FindLink(p.ns, "net1")
			l.must(err)
			l.must(spoil(l, p, link.Index))
			kerneltest.Eventually(t, "the agent has repaired it", func() bool { return l.check(p) == nil })
		})
	}
}

func TestCheckTakesUnderFiveMilliseconds(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage", "backup", "third", "fourth")
	_, err := l.add(p)
	l.must(err)
	sandbox, ok := l.Keeper().Find(p.args().ContainerID)
	if !ok {
		t.Fatal("the agent does not know the sandbox")
	}
	best := time.Hour
	for range 20 {
		start := time.Now()
		l.must(l.Keeper().VerifySandbox(t.Context(), sandbox))
		best = min(best, time.Since(start))
	}
	t.Logf("four networks are checked in %s", best)
	if best > 5*time.Millisecond {
		t.Errorf("a check takes %s", best)
	}
}

func TestCollect(t *testing.T) {
	l := newLab(t)
	stale, valid := l.pod("stale", "storage", "backup"), l.pod("valid", "storage")
	for _, p := range []pod{stale, valid} {
		_, err := l.add(p)
		l.must(err)
	}
	l.must(l.gc(types.GCAttachment{ContainerID: valid.args().ContainerID, IfName: "eth0"}))
	l.waitEmpty(stale)
	l.must(l.check(valid))
	if _, known := l.Keeper().Find(stale.args().ContainerID); known {
		t.Error("the agent still knows the stale sandbox")
	}
}

// TestPlanIsMissing: the pod selects a network, of which the agent has no plan. It must not start without.
func TestPlanIsMissing(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage")
	l.Orders.Remove(p.uid)
	kerneltest.Eventually(t, "the plan is dropped", func() bool {
		plans, err := os.ReadDir(filepath.Join(l.Dir, "pods"))
		return err == nil && len(plans) == 0
	})
	_, err := l.add(p)
	wantCode(t, err, 11)
	l.must(l.del(p))
	l.must(l.Stop())
	_, err = l.add(p)
	wantCode(t, err, 11)
	l.must(l.del(p))
	l.must(l.Start(l.ctx))
	_, err = l.add(p)
	wantCode(t, err, 11)
}

func TestNetworkThatTheKernelRefuses(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage")
	kerneltest.Cable(t, p.ns, "net1", l.node, "other")
	_, err := l.add(p)
	wantCode(t, err, 100)
	if err != nil && !strings.Contains(err.Error(), `network "storage" interface net1`) {
		t.Errorf("the error does not name network and interface: %v", err)
	}
	l.must(l.del(p))
}

func (l *lab) removeAddress(p pod, index int) error {
	addresses, err := plumb.Addresses(p.ns, index)
	if err != nil {
		return err
	}
	return plumb.RemoveAddress(p.ns, index, addresses[0])
}

func (l *lab) removeRoute(p pod, index int) error {
	routes, err := plumb.Routes(p.ns)
	if err != nil {
		return err
	}
	want := plan.Route{To: netip.MustParsePrefix("10.99.0.0/16"), Via: netip.MustParseAddr("10.20.255.254")}
	if !slices.ContainsFunc(routes, func(r plumb.Route) bool { return r.Matches(index, want) }) {
		return errors.New("the pod has no such route")
	}
	return plumb.RemoveRoute(p.ns, index, want)
}
