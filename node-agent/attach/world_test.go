package attach

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// world is a node whose uplinks eth1 and eth2 end in another machine, and the pods on it.
type world struct {
	t        testing.TB
	node     *kernel.Namespace
	machine  *kernel.Namespace
	attacher *Attacher
}

func newWorld(t testing.TB) *world {
	kerneltest.RequireRoot(t, "macvlan links in network namespaces")
	w := &world{t: t, node: kerneltest.Namespace(t, "node"), machine: kerneltest.Namespace(t, "machine")}
	kerneltest.Cable(t, w.node, "eth1", w.machine, "far1")
	kerneltest.Cable(t, w.node, "eth2", w.machine, "far2")
	w.attacher = w.newAttacher()
	return w
}

// newAttacher waits for a MAC longer than a hook may: on a busy machine the kernel takes its time to remove a namespace.
func (w *world) newAttacher() *Attacher {
	return New(Options{NodeNamespace: w.node.Path(), AddressInUseWait: time.Minute})
}

// pod has an eth0 to the node, with an address and a default route, as a primary CNI plugin leaves it.
func (w *world) pod() *kernel.Namespace {
	pod := kerneltest.Namespace(w.t, "pod")
	kerneltest.Cable(w.t, pod, "eth0", w.node, strings.ReplaceAll(fmt.Sprintf("v%p", pod), "0x", ""))
	kerneltest.Address(w.t, pod, "eth0", "10.244.0.2/24")
	kerneltest.Address(w.t, pod, "eth0", "fd00:244::2/64")
	link, _, err := plumb.FindLink(pod, "eth0")
	w.must(err)
	for _, route := range []plan.Route{routeVia("0.0.0.0/0", "10.244.0.1"), routeVia("::/0", "fd00:244::1")} {
		_, err := plumb.EnsureRoute(pod, link.Index, route)
		w.must(err)
	}
	return pod
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) attach(pod *kernel.Namespace, attachments ...plan.Attachment) []Result {
	w.t.Helper()
	results, err := w.attacher.Attach(w.t.Context(), pod.Path(), attachments)
	w.must(err)
	return results
}

func (w *world) check(pod *kernel.Namespace, attachments ...plan.Attachment) {
	w.t.Helper()
	w.must(w.attacher.Check(w.t.Context(), pod.Path(), attachments))
}

// storage and backup are two plans for one pod.
func storage() plan.Attachment {
	return plan.Attachment{
		Network:   "storage",
		Interface: "net1",
		MAC:       plan.HardwareAddr{2, 0, 0, 0, 1, 5},
		Addresses: prefixes("10.20.0.5/24", "fd00:20::5/64"),
		Routes:    []plan.Route{routeVia("10.99.0.0/16", "10.20.0.1"), routeVia("fd00:99::/48", "fd00:20::1"), routeVia("10.98.0.0/16", "")},
		MTU:       1400,
		Device:    plan.Device{Uplink: "eth1"},
		Macvlan:   &plan.Macvlan{Mode: "bridge"},
	}
}

func backup() plan.Attachment {
	return plan.Attachment{
		Network:   "backup",
		Interface: "net2",
		MAC:       plan.HardwareAddr{2, 0, 0, 0, 2, 5},
		Addresses: prefixes("10.30.0.5/24"),
		Device:    plan.Device{Uplink: "eth2"},
		Macvlan:   &plan.Macvlan{Mode: "private"},
	}
}

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func routeVia(to, via string) plan.Route {
	route := plan.Route{To: netip.MustParsePrefix(to)}
	if via != "" {
		route.Via = netip.MustParseAddr(via)
	}
	return route
}

// state is all that an attach could change in a pod.
type state struct {
	Links     []plumb.Link
	Addresses map[int][]netip.Prefix
	Routes    []plumb.Route
	Sysctls   map[string]string
}

func (w *world) state(pod *kernel.Namespace) (s state) {
	w.t.Helper()
	var err error
	s.Links, err = plumb.Links(pod)
	w.must(err)
	s.Addresses, err = plumb.AllAddresses(pod)
	w.must(err)
	s.Routes, err = plumb.Routes(pod)
	w.must(err)
	// The kernel adds these by itself, some time after a link is up.
	s.Routes = slices.DeleteFunc(s.Routes, func(r plumb.Route) bool { return r.To.Addr().IsLinkLocalUnicast() })
	s.Sysctls = map[string]string{}
	kerneltest.Inside(w.t, pod, func() error { return readSysctls(s.Sysctls) })
	return s
}

// readSysctls covers what applies to eth0 and to interfaces to come.
func readSysctls(into map[string]string) error {
	for _, scope := range []string{"all", "default", "eth0"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			dir := fmt.Sprintf("%s/conf/%s", family, scope)
			entries, err := os.ReadDir("/proc/sys/net/" + dir)
			if err != nil {
				return err
			}
			for _, entry := range entries {
				// stable_secret cannot be read before it is set.
				into[dir+"/"+entry.Name()], _ = kernel.Proc("").ReadNet(dir + "/" + entry.Name())
			}
		}
	}
	return nil
}

func (w *world) wantState(pod *kernel.Namespace, want state) {
	w.t.Helper()
	byText := cmpopts.SortSlices(func(a, b plumb.Route) bool { return fmt.Sprint(a) < fmt.Sprint(b) })
	comparers := cmp.Options{byText, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })}
	if diff := cmp.Diff(want, w.state(pod), comparers); diff != "" {
		w.t.Errorf("the pod is not as it should be (-want +got):\n%s", diff)
	}
}

func linkNames(links []plumb.Link) (names []string) {
	for _, link := range links {
		names = append(names, link.Name)
	}
	slices.Sort(names)
	return names
}
