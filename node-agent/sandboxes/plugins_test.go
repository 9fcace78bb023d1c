package sandboxes

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// fakePlugins make interfaces of one address.
type fakePlugins struct {
	mu sync.Mutex
	// made are sandbox/interface.
	made []string
	// lost tells that the interfaces are not in the kernel; addError and delError fail the calls, delError those of delFails alone
	// where that is set.
	lost               bool
	addError, delError error
	delFails           string
	checked            int
}

var pluginAddress = netip.MustParsePrefix("10.9.0.7/24")

func (f *fakePlugins) Add(_ context.Context, s Sandbox, a plan.Attachment) (publish.Interface, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.addError != nil {
		return publish.Interface{}, false, f.addError
	}
	key, added := s.ID+"/"+a.Interface, false
	if f.lost || !slices.Contains(f.made, key) {
		added, f.lost = true, false
		f.made = append(slices.DeleteFunc(f.made, func(m string) bool { return m == key }), key)
	}
	return publish.Interface{Plan: a, Addresses: []netip.Prefix{pluginAddress}}, added, nil
}

func (f *fakePlugins) Made(s Sandbox, a plan.Attachment) (publish.Interface, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return publish.Interface{Plan: a, Addresses: []netip.Prefix{pluginAddress}}, slices.Contains(f.made, s.ID+"/"+a.Interface)
}

func (f *fakePlugins) Look(_ context.Context, s Sandbox, a plan.Attachment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost || !slices.Contains(f.made, s.ID+"/"+a.Interface) {
		return errors.New("the interface is missing")
	}
	return nil
}

func (f *fakePlugins) Check(context.Context, Sandbox, plan.Attachment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked++
	return nil
}

func (f *fakePlugins) Del(_ context.Context, s Sandbox, a plan.Attachment) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.delError != nil && (f.delFails == "" || f.delFails == a.Interface) {
		return f.delError
	}
	f.made = slices.DeleteFunc(f.made, func(m string) bool { return m == s.ID+"/"+a.Interface })
	return nil
}

func (f *fakePlugins) Prune(_ context.Context, lives func(string) bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.delError != nil {
		return f.delError
	}
	f.made = slices.DeleteFunc(f.made, func(m string) bool { id, _, _ := strings.Cut(m, "/"); return !lives(id) })
	return nil
}

func (f *fakePlugins) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fakePlugins) list() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.made, " ")
}

// delegated is a world in which a pod is about to start on a Network of its own data path, net1, and one of CNI plugins, net2.
func delegated(t *testing.T) *world {
	w := prepared(t, func(*world) {})
	w.orderPlugins(t, "lan", "net2")
	return w
}

// orderPlugins prepares one more interface of the pod, on a Network of CNI plugins.
func (w *world) orderPlugins(t *testing.T, network, iface string) {
	t.Helper()
	order := attachmentOrder()
	order.Name, order.UID, order.Spec.NetworkName, order.Spec.Interface = network, types.UID("order of "+network), network, v1alpha1.InterfaceName(iface)
	order.Spec.PodClaimName, order.Spec.Type, order.Spec.Macvlan, order.Spec.Addresses, order.Spec.MAC = "multinet-"+network+"-0", v1alpha1.NetworkTypeCNI, nil, nil, ""
	order.Spec.CNI = &v1alpha1.CNISpec{Config: `{"name": "` + network + `", "type": "bridge"}`}
	w.order(order)
	r := request
	r.PodClaimName, r.Network, r.Claim.Device = order.Spec.PodClaimName, network, v1alpha1.CNIDeviceName
	if err := w.keeper.Prepare(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func bothNetworks() Sandbox {
	s := box
	s.Selection = "storage, lan"
	return s
}

func TestPluginsMakeTheirInterfaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := delegated(t)
		if err := w.keeper.RunSandbox(t.Context(), bothNetworks()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		report := w.reports[len(w.reports)-1]
		if len(report.Interfaces) != 2 || report.Interfaces[0].Plan.Interface != "net1" || report.Interfaces[1].Addresses[0] != pluginAddress ||
			report.Interfaces[1].Reason != v1alpha1.ReasonAttached {
			t.Errorf("reported %+v", report.Interfaces)
		}
		if got := w.plugins.list(); got != "box/net2" || strings.Join(w.announced, " ") != "net1" {
			t.Errorf("made %q, announced %v", got, w.announced)
		}
		if err := w.keeper.VerifySandbox(t.Context(), bothNetworks()); err != nil || w.plugins.checked != 1 {
			t.Errorf("%v, plugins were asked %d times", err, w.plugins.checked)
		}
		w.keeper.StopSandbox(t.Context(), bothNetworks())
		if got := w.plugins.list(); got != "" {
			t.Errorf("the hook leaves %s, and the namespace ends now", got)
		}
	})
}

// All that a sandbox has is taken away as it ends, also where one interface of it cannot be.
func TestAllIsRemovedThoughOneCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := delegated(t)
		w.orderPlugins(t, "wan", "net3")
		sandbox := box
		sandbox.Selection = "storage, lan, wan"
		if err := w.keeper.RunSandbox(t.Context(), sandbox); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := w.plugins.list(); got != "box/net2 box/net3" || w.interfaces(box.NetNS) != 1 {
			t.Fatalf("made %q, and %d links", got, w.interfaces(box.NetNS))
		}
		w.plugins.set(func() { w.plugins.delError, w.plugins.delFails = errors.New("the plugin has crashed"), "net2" })
		w.keeper.StopSandbox(t.Context(), sandbox)
		synctest.Wait()
		if got := w.plugins.list(); got != "box/net2" || w.interfaces(box.NetNS) != 0 {
			t.Errorf("%q is left, and %d links", got, w.interfaces(box.NetNS))
		}
	})
}

// A pod has all of its interfaces or none.
func TestPluginsAreUndone(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*world)
		want   string
	}{
		"plugins fail": {func(w *world) {
			w.plugins.addError = &attach.Error{Network: "lan", Interface: "net2", Step: attach.StepPlugins, Err: errors.New("no address left (CNI error 100)")}
		}, `network "lan" interface net2: run CNI plugins: no address left (CNI error 100)`},
		"the attach path fails": {func(w *world) { w.attachError = errors.New("no such device") }, "no such device"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := delegated(t)
				c.change(w)
				err := w.keeper.RunSandbox(t.Context(), bothNetworks())
				if err == nil || err.Error() != c.want {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if got := w.plugins.list(); got != "" || w.interfaces(box.NetNS) != 0 {
					t.Errorf("made %q, and %d links", got, w.interfaces(box.NetNS))
				}
				synctest.Wait()
				last := w.reports[len(w.reports)-1]
				if last.Trouble != c.want {
					t.Errorf("told %q", last.Trouble)
				}
			})
		})
	}
}

// An interface that is lost comes back, and what was not lost stays.
func TestPluginsRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := delegated(t)
		if err := w.keeper.RunSandbox(t.Context(), bothNetworks()); err != nil {
			t.Fatal(err)
		}
		w.plugins.set(func() { w.plugins.lost = true })
		time.Sleep(2 * verifyEvery)
		if err := w.plugins.Look(t.Context(), box, plan.Attachment{Interface: "net2"}); err != nil {
			t.Error(err)
		}
	})
}

// What plugins could not take away is tried again, and nothing is taken from a sandbox while the runtime has not listed those that
// are there.
func TestPluginsOfFormerSandboxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.plugins.set(func() { w.plugins.made = []string{"box/net2", "former/net2"} })
		time.Sleep(2 * verifyEvery)
		if got := w.plugins.list(); got != "box/net2 former/net2" {
			t.Errorf("before the runtime has come: %s", got)
		}
		w.plugins.set(func() { w.plugins.delError = errors.New("the plugin is not there") })
		w.namespace(box.NetNS)
		w.keeper.Synchronize([]Sandbox{box})
		time.Sleep(2 * verifyEvery)
		w.plugins.set(func() { w.plugins.delError = nil })
		time.Sleep(2 * verifyEvery)
		if got := w.plugins.list(); got != "box/net2" {
			t.Errorf("then: %s", got)
		}
	})
}

// After a restart of the agent networks.json has what plugins told an earlier process.
func TestMadeByPluginsBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := delegated(t)
		w.plugins.set(func() { w.plugins.made = []string{"box/net2"} })
		made := w.keeper.madeOrPlanned(newEntry(bothNetworks(), found))
		if len(made) != 2 || !slices.Equal(made[1].Addresses, []netip.Prefix{pluginAddress}) || made[1].Plan.CNI == nil {
			t.Errorf("%+v", made)
		}
	})
}
