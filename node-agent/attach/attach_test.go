package attach

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

func TestAttach(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	results := w.attach(pod, storage(), backup())
	w.check(pod, storage(), backup())

	for i, want := range []plan.Attachment{storage(), backup()} {
		got := results[i]
		if got.Interface != want.Interface || got.MAC.String() != want.MAC.String() || !slices.Equal(got.Addresses, want.Addresses) {
			t.Errorf("result %+v, want the interface of %+v", got, want)
		}
		link, found, err := plumb.FindLink(pod, want.Interface)
		if err != nil || !found {
			t.Fatalf("link %s: found %v, %v", want.Interface, found, err)
		}
		known := plumb.Link{Index: got.IfIndex, Name: got.Interface, MAC: got.MAC, MTU: got.MTU, Up: true, Ours: true, Parent: link.Parent, Mode: want.Macvlan.Mode}
		if diff := cmp.Diff(known, link); diff != "" {
			t.Errorf("the result differs from the kernel's link (-result +kernel):\n%s", diff)
		}
	}
	if results[0].MTU != 1400 || results[1].MTU != 1500 {
		t.Errorf("MTUs %d and %d, want 1400 as planned and 1500 of the uplink", results[0].MTU, results[1].MTU)
	}
}

// Both families carry data between a pod and another machine as soon as Attach returns.
func TestTraffic(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	kerneltest.Address(t, w.machine, "far1", "10.20.0.1/24")
	kerneltest.Address(t, w.machine, "far1", "fd00:20::1/64")
	w.attach(pod, storage())
	for network, address := range map[string]string{"tcp4": "10.20.0.5:80", "tcp6": "[fd00:20::5]:80"} {
		var listener net.Listener
		kerneltest.Inside(t, pod, func() (err error) { listener, err = net.Listen(network, address); return err })
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, _ = conn.Write([]byte("hello"))
				_ = conn.Close()
			}
		}()
		var conn net.Conn
		kerneltest.Inside(t, w.machine, func() (err error) { conn, err = net.DialTimeout(network, address, 5*time.Second); return err })
		text, err := io.ReadAll(conn)
		if err != nil || string(text) != "hello" {
			t.Errorf("%s: read %q, %v", address, text, err)
		}
		_ = conn.Close()
		_ = listener.Close()
	}
}

func TestAttachTwiceChangesNothing(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	first := w.attach(pod, storage(), backup())
	before := w.state(pod)
	second := w.attach(pod, storage(), backup())
	w.wantState(pod, before)
	for i := range first {
		first[i].Duration, second[i].Duration = 0, 0
	}
	if diff := cmp.Diff(fmt.Sprint(first), fmt.Sprint(second)); diff != "" {
		t.Errorf("results differ (-first +second):\n%s", diff)
	}
}

// What the primary CNI plugin made, and what applies to interfaces to come, is the same before, during and after.
func TestEth0Untouched(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	before := w.state(pod)
	w.attach(pod, storage(), backup())
	during := w.state(pod)
	if diff := cmp.Diff(before.Sysctls, during.Sysctls); diff != "" {
		t.Errorf("sysctls changed:\n%s", diff)
	}
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}))
	w.wantState(pod, before)
}

func TestWrongIsReplaced(t *testing.T) {
	for name, change := range map[string]func(*plan.Attachment){
		"mac":     func(p *plan.Attachment) { p.MAC = plan.HardwareAddr{2, 0, 0, 0, 9, 9} },
		"mode":    func(p *plan.Attachment) { p.Macvlan = &plan.Macvlan{Mode: "vepa"} },
		"uplink":  func(p *plan.Attachment) { p.Device.Uplink = "eth2" },
		"mtu":     func(p *plan.Attachment) { p.MTU = 1300 },
		"prefix":  func(p *plan.Attachment) { p.Addresses = prefixes("10.20.0.5/16", "fd00:20::5/56") },
		"address": func(p *plan.Attachment) { p.Addresses = prefixes("10.20.0.6/24", "fd00:20::6/64") },
		"via": func(p *plan.Attachment) {
			p.Routes = []plan.Route{routeVia("10.99.0.0/16", "10.20.0.2"), routeVia("fd00:99::/48", "fd00:20::2")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			pod := w.pod()
			w.attach(pod, storage())
			changed := storage()
			change(&changed)
			if err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{changed}); err == nil && name != "uplink" {
				t.Error("Check does not see the difference")
			}
			w.attach(pod, changed)
			w.check(pod, changed)
			// And a link that was down is brought up again.
			kerneltest.SetDown(t, pod, "net1")
			w.attach(pod, changed)
			w.check(pod, changed)
		})
	}
}

// The driver of the NIC was loaded anew: the kernel took the pods' links with the uplink, and a repair finds another one
// of its name.
func TestUplinkComesBack(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	w.attach(pod, storage(), backup())
	kerneltest.Remove(t, w.node, "eth1")
	if err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}); err == nil ||
		err.Error() != `network "storage" interface net1: check: the interface is missing` {
		t.Errorf("error %v, want that net1 is missing", err)
	}
	kerneltest.Cable(t, w.node, "eth1", w.machine, "far1")
	w.attach(pod, storage(), backup())
	w.check(pod, storage(), backup())
}

func TestManyAtOnce(t *testing.T) {
	const pods = 20
	w := newWorld(t)
	var group sync.WaitGroup
	errs := make([]error, pods)
	for i := range pods {
		pod := w.pod()
		p, q := storage(), backup()
		p.MAC[4], q.MAC[4] = byte(10+i), byte(60+i)
		p.Addresses = prefixes(fmt.Sprintf("10.20.0.%d/24", 10+i), fmt.Sprintf("fd00:20::%d/64", 10+i))
		q.Addresses = prefixes(fmt.Sprintf("10.30.0.%d/24", 10+i))
		attachments := []plan.Attachment{p, q}
		group.Go(func() {
			_, err := w.attacher.Attach(t.Context(), pod.Path(), attachments)
			errs[i] = errors.Join(err, w.attacher.Check(t.Context(), pod.Path(), attachments))
			if i%2 == 0 {
				errs[i] = errors.Join(errs[i], w.attacher.Detach(t.Context(), pod.Path(), attachments))
			}
		})
	}
	group.Wait()
	w.must(errors.Join(errs...))
}

func TestNothingToDo(t *testing.T) {
	a := New(Options{NodeNamespace: "/nonexistent"})
	results, err := a.Attach(context.Background(), "/nonexistent", nil)
	if results != nil || err != nil {
		t.Errorf("got %v, %v for a pod without networks, want nothing to be opened", results, err)
	}
	if err := errors.Join(a.Check(context.Background(), "/nonexistent", nil), a.Detach(context.Background(), "/nonexistent", nil)); err != nil {
		t.Error(err)
	}
}
