package attach

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// elsewhere has a host of the same addresses behind both gateways, so that who hears a datagram tells which way it went.
var elsewhere = []string{"203.0.113.9", "2001:db8::9"}

// byNet1 is storage with default routes.
func byNet1(gateways ...string) plan.Attachment {
	p := storage()
	for _, g := range gateways {
		p.DefaultRoutes = append(p.DefaultRoutes, netip.MustParseAddr(g))
	}
	return p
}

// crossroads is a world whose node is the gateway of pods' eth0, and whose other machine that of net1.
type crossroads struct {
	*world
	hears map[string]map[string]net.PacketConn
}

func newCrossroads(t *testing.T) (*crossroads, *kernel.Namespace) {
	c := &crossroads{world: newWorld(t), hears: map[string]map[string]net.PacketConn{"eth0": {}, "net1": {}}}
	pod := c.pod()
	var cable string
	links, err := plumb.Links(c.node)
	c.must(err)
	for _, link := range links {
		if strings.HasPrefix(link.Name, "v") {
			cable = link.Name
		}
	}
	for iface, gateway := range map[string]struct {
		ns        *kernel.Namespace
		link      string
		addresses []string
	}{
		"eth0": {c.node, cable, []string{"10.244.0.1/24", "fd00:244::1/64"}},
		"net1": {c.machine, "far1", []string{"10.20.0.1/24", "fd00:20::1/64"}},
	} {
		for _, address := range append(gateway.addresses, elsewhere[0]+"/32", elsewhere[1]+"/128") {
			kerneltest.Address(t, gateway.ns, gateway.link, address)
		}
		for _, address := range elsewhere {
			c.hears[iface][address] = listen(t, gateway.ns, net.JoinHostPort(address, "7000"))
		}
	}
	return c, pod
}

// goesBy fails where what the pod sends to an address elsewhere does not leave by the interface.
func (c *crossroads) goesBy(pod *kernel.Namespace, address, iface string) {
	c.t.Helper()
	for _, hears := range c.hears {
		for receive(c.t, hears[address]) != "" { //revive:disable-line:empty-block What was sent before is not of interest.
		}
	}
	conn := dial(c.t, pod, net.JoinHostPort(address, "7000"))
	kerneltest.Eventually(c.t, "a datagram to "+address+" goes by "+iface, func() bool {
		send(c.t, conn, "here")
		for other, hears := range c.hears {
			if other != iface && receive(c.t, hears[address]) != "" {
				c.t.Fatalf("what goes to %s goes by %s, not by %s", address, other, iface)
			}
		}
		return receive(c.t, c.hears[iface][address]) == "here"
	})
}

// TestDefaultRoute: packets leave by the gateway, and by eth0 again when the interface goes, whoever takes it away.
func TestDefaultRoute(t *testing.T) {
	v4, v6 := elsewhere[0], elsewhere[1]
	for name, c := range map[string]struct {
		gateways []string
		by       map[string]string
	}{
		"both":      {[]string{"10.20.0.1", "fd00:20::1"}, map[string]string{v4: "net1", v6: "net1"}},
		"IPv4 only": {[]string{"10.20.0.1"}, map[string]string{v4: "net1", v6: "eth0"}},
		"IPv6 only": {[]string{"fd00:20::1"}, map[string]string{v4: "eth0", v6: "net1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, pod := newCrossroads(t)
			before := w.state(pod)
			p := byNet1(c.gateways...)
			w.attach(pod, p)
			for address, iface := range c.by {
				w.goesBy(pod, address, iface)
			}
			w.check(pod, p)
			attached := w.state(pod)
			w.attach(pod, p)
			w.wantState(pod, attached)
			w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
			w.wantState(pod, before)
			for address := range c.by {
				w.goesBy(pod, address, "eth0")
			}
			// Somebody else takes the link: the pod is not without a way, and all is as before when the agent comes.
			w.attach(pod, p)
			kerneltest.Remove(t, pod, "net1")
			for address := range c.by {
				w.goesBy(pod, address, "eth0")
			}
			w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
			w.wantState(pod, before)
		})
	}
}

// TestDefaultRouteIsChecked: a check sees that it is gone, and that another one comes before it; an attach repairs it.
func TestDefaultRouteIsChecked(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	p := byNet1("10.20.0.1", "fd00:20::1")
	w.attach(pod, p)
	wrong := func(what string) {
		t.Helper()
		err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{p})
		if err == nil || !strings.Contains(err.Error(), "is missing, or another one comes first") {
			t.Errorf("%s: %v", what, err)
		}
		w.attach(pod, p)
		w.check(pod, p)
	}
	link, _, err := plumb.FindLink(pod, "net1")
	w.must(err)
	for _, via := range p.DefaultRoutes {
		w.must(plumb.RemoveDefault(pod, link.Index, via))
		wrong("no route")
	}
	for _, via := range []string{"10.20.0.9", "fd00:20::9"} {
		former := netip.MustParseAddr(via)
		w.must(plumb.RemoveDefault(pod, link.Index, p.DefaultRoutes[0]))
		w.must(plumb.RemoveDefault(pod, link.Index, p.DefaultRoutes[1]))
		_, err := plumb.EnsureDefault(pod, link.Index, former)
		w.must(err)
		wrong("by " + via)
	}
}

// TestDefaultRouteIsUndone: a pod that cannot be attached, or is not to the end, keeps its default routes.
func TestDefaultRouteIsUndone(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	before := w.state(pod)
	w.attacher.before = at("net2", StepAddresses, func() error { return errors.New("boom") })
	p := byNet1("10.20.0.1", "fd00:20::1")
	if _, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p, backup()}); err == nil {
		t.Fatal("attached")
	}
	w.wantState(pod, before)
	w.attacher.before = nil
	// What an earlier attach did stays.
	w.attach(pod, p)
	attached := w.state(pod)
	w.attacher.before = at("net2", StepAddresses, func() error { return errors.New("boom") })
	if _, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p, backup()}); err == nil {
		t.Fatal("attached")
	}
	w.wantState(pod, attached)
	w.attacher.before = nil
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantState(pod, before)
	no := byNet1("10.77.0.1")
	if _, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{no}); err == nil || !strings.Contains(err.Error(), "0.0.0.0/0") {
		t.Errorf("a gateway that is no neighbour: %v", err)
	}
	w.wantState(pod, before)
}
