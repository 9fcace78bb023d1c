package attach

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Each error says what was wrong and, where it is known, what to do; and it leaves the pod as it was.
func TestErrors(t *testing.T) {
	tests := map[string]struct {
		prepare func(w *world, pod *kernel.Namespace)
		plan    func(p *plan.Attachment)
		is      error
		text    string
	}{
		"uplink missing": {
			plan: func(p *plan.Attachment) { p.Device.Uplink = "eth9" },
			is:   plumb.ErrUplinkMissing,
			text: `network "storage" interface net1: find uplink: uplink eth9: the node has no such interface: correct the Network's spec.macvlan.uplink or the node`,
		},
		"name taken": {
			prepare: func(w *world, pod *kernel.Namespace) { kerneltest.Cable(w.t, pod, "net1", w.machine, "foreign") },
			is:      plumb.ErrNameTaken,
			text:    `network "storage" interface net1: create interface: the pod already has an interface of this name that is not Multinet's: choose another`,
		},
		"MAC in use": {
			prepare: func(w *world, _ *kernel.Namespace) { w.attach(w.pod(), storage()) },
			is:      unix.EADDRINUSE,
			text:    `bring interface up: MAC 02:00:00:00:01:05 is in use on uplink eth1 of this node, by another pod or a former sandbox`,
		},
		"MTU above the uplink's": {
			plan: func(p *plan.Attachment) { p.MTU = 9000 },
			is:   unix.EINVAL,
			text: `create interface: MTU 9000 exceeds that of uplink eth1, which is 1500`,
		},
		"passthru beside others": {
			prepare: func(w *world, _ *kernel.Namespace) { w.attach(w.pod(), withMAC(storage(), 77)) },
			plan:    func(p *plan.Attachment) { p.Macvlan = &plan.Macvlan{Mode: "passthru"} },
			is:      unix.EINVAL,
			text:    `create interface: uplink eth1 refuses mode passthru`,
		},
		"beside passthru": {
			prepare: func(w *world, _ *kernel.Namespace) {
				p := withMAC(storage(), 77)
				p.Macvlan = &plan.Macvlan{Mode: "passthru"}
				w.attach(w.pod(), p)
			},
			plan: func(*plan.Attachment) {},
			is:   unix.EINVAL,
			text: `create interface: uplink eth1 refuses mode bridge: a link in mode passthru tolerates no other on its uplink`,
		},
		"IPv6 disabled": {
			prepare: func(w *world, pod *kernel.Namespace) {
				kerneltest.Inside(w.t, pod, func() error { return kernel.Proc("").WriteNet("ipv6/conf/default/disable_ipv6", "1") })
			},
			is:   plumb.ErrIPv6Disabled,
			text: `add address: fd00:20::5/64: IPv6 is disabled in the pod`,
		},
		"route taken": {
			plan: func(p *plan.Attachment) { p.Routes = []plan.Route{routeVia("0.0.0.0/0", "10.20.0.1")} },
			text: `add route: 0.0.0.0/0: the pod already has a route to 0.0.0.0/0 through eth0`,
		},
		"route taken by another interface of ours": {
			prepare: func(w *world, pod *kernel.Namespace) { w.attach(pod, sameRoutes("net2")) },
			text:    `network "storage" interface net1: add route: 10.99.0.0/16: the pod already has a route to 10.99.0.0/16 through net2`,
		},
		"IPv6 route taken by another interface of ours": {
			prepare: func(w *world, pod *kernel.Namespace) { w.attach(pod, sameRoutes("net2")) },
			plan:    func(p *plan.Attachment) { p.Routes = p.Routes[1:] },
			text:    `network "storage" interface net1: add route: fd00:99::/48: the pod already has a route to fd00:99::/48 through net2`,
		},
		"next hop is no neighbour": {
			plan: func(p *plan.Attachment) { p.Routes = []plan.Route{routeVia("10.99.0.0/16", "192.168.7.1")} },
			is:   unix.ENETUNREACH,
			text: `add route: 10.99.0.0/16: network is unreachable`,
		},
		"unknown data path": {
			plan: func(p *plan.Attachment) { p.Macvlan = nil },
			text: `find uplink: the plan is for no data path that this node agent knows`,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attacher = New(Options{NodeNamespace: w.node.Path(), AddressInUseWait: time.Nanosecond})
			pod := w.pod()
			if test.prepare != nil {
				test.prepare(w, pod)
			}
			before := w.state(pod)
			p := storage()
			if test.plan != nil {
				test.plan(&p)
			}
			_, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p})
			if err == nil || !strings.Contains(err.Error(), test.text) {
				t.Errorf("error %q, want it to contain %q", err, test.text)
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("error %v is not %v", err, test.is)
			}
			w.wantState(pod, before)
		})
	}
}

// sameRoutes is another interface on the uplink of storage with the routes of storage.
func sameRoutes(iface string) plan.Attachment {
	p := withMAC(storage(), 76)
	p.Interface, p.Addresses = iface, prefixes("10.20.0.6/24", "fd00:20::6/64")
	return p
}

func withMAC(p plan.Attachment, last byte) plan.Attachment {
	p.MAC = plan.HardwareAddr{2, 0, 0, 0, 0, last}
	return p
}

// A container that is not privileged has /proc/sys read only.
func TestProcIsReadOnly(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	root := t.TempDir()
	w.must(unix.Mount("proc", root, "proc", unix.MS_RDONLY, ""))
	defer func() { w.must(unix.Unmount(root, unix.MNT_DETACH)) }()
	a := New(Options{NodeNamespace: w.node.Path(), ProcRoot: root})
	_, err := a.Attach(t.Context(), pod.Path(), []plan.Attachment{storage()})
	if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "mount the host's /proc") {
		t.Errorf("error %v, want one that tells what to mount", err)
	}
}

// The sandbox of a pod was replaced, and the kernel has not removed the link of the former one yet.
func TestFormerSandboxGoesWhileWaiting(t *testing.T) {
	w := newWorld(t)
	former, pod := w.pod(), w.pod()
	w.attach(former, storage())
	w.attacher.before = func(_, _ string, s Step) error {
		if s == StepUp {
			go func() {
				_ = New(Options{NodeNamespace: w.node.Path()}).RemoveLinks(t.Context(), former.Path(), []plan.Attachment{storage()})
			}()
		}
		return nil
	}
	w.attach(pod, storage())
	w.check(pod, storage())
}

// The pod may have the name of an interface of the node, and an interface that took the index which ours would get.
func TestNamesAndIndexesOfOthers(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	p := storage()
	p.Interface = "eth1"
	w.attach(pod, p)
	w.check(pod, p)

	taken := kerneltest.Namespace(t, "pod")
	w.attach(taken, withMAC(storage(), 79))
	link, _, err := plumb.FindLink(taken, "net1")
	w.must(err)
	kerneltest.SetDown(t, taken, "net1")
	kerneltest.Rename(t, taken, "net1", "other")
	result := w.attach(taken, withMAC(storage(), 78))
	if result[0].IfIndex == link.Index {
		t.Errorf("index %d stands for two links", link.Index)
	}
	w.check(taken, withMAC(storage(), 78))
}

func TestPassthruHasTheMACOfTheUplink(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	uplink, _, err := plumb.FindLink(w.node, "eth1")
	w.must(err)
	p := storage()
	p.Macvlan = &plan.Macvlan{Mode: "passthru"}
	for range 2 {
		if result := w.attach(pod, p); result[0].MAC.String() != uplink.MAC.String() {
			t.Errorf("MAC %s, want %s", result[0].MAC, uplink.MAC)
		}
	}
	w.check(pod, p)
}
