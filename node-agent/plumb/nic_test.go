package plumb

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// lender is a node with the NIC eth1, which is up and ends in another machine.
type lender struct {
	t *testing.T
	NICs
	machine *kernel.Namespace
	before  plan.NICState
}

func newLender(t *testing.T) *lender {
	kerneltest.RequireRoot(t, "NICs in network namespaces")
	l := &lender{t: t, NICs: NICs{Node: kerneltest.Namespace(t, "node"), Settle: 200 * time.Millisecond}, machine: kerneltest.Namespace(t, "machine")}
	kerneltest.Cable(t, l.Node, "eth1", l.machine, "far1")
	l.must(l.Node.Handle().LinkSetAlias(l.link(l.Node, "eth1"), "to the lab"))
	l.before = l.state()
	if l.before.Alias != "to the lab" || !l.before.Up || l.before.MTU != 1500 || len(l.before.MAC) != 6 {
		t.Fatalf("at the start the NIC is %+v", l.before)
	}
	return l
}

func (l *lender) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lender) link(ns *kernel.Namespace, name string) netlink.Link {
	l.t.Helper()
	link, err := ns.Handle().LinkByName(name)
	l.must(err)
	return link
}

func (l *lender) state() plan.NICState {
	l.t.Helper()
	state, inUse, err := l.State("eth1")
	l.must(err)
	if inUse != "" {
		l.t.Fatalf("the NIC is in use: %s", inUse)
	}
	return state
}

// wantHome is what nobody can tell from a NIC that was never lent.
func (l *lender) wantHome() {
	l.t.Helper()
	if diff := cmp.Diff(l.before, l.state()); diff != "" {
		l.t.Fatalf("the NIC differs from before (-before +now):\n%s", diff)
	}
}

// device is the NIC as the ledger has it.
func (l *lender) device() plan.HostDevice {
	before := l.before
	return plan.HostDevice{Interface: "eth1", Before: &before}
}

var asked = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x77}

// change is what a pod may do to its NIC.
func (l *lender) change(pod *kernel.Namespace, name string) {
	l.t.Helper()
	handle, link := pod.Handle(), l.link(pod, name)
	l.must(handle.SetPromiscOn(link))
	l.must(handle.LinkSetAllmulticastOn(link))
	l.must(handle.LinkSetTxQLen(link, 7))
	l.must(handle.LinkSetMTU(link, 1300))
	l.must(handle.LinkSetDown(link))
	l.must(handle.LinkSetName(link, "mine"))
	l.must(handle.LinkSetUp(link))
}

// A NIC is moved into the pod with what was asked for, and comes back as it was, whatever the pod did to it.
func TestNIC(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	own := net.HardwareAddr(l.before.MAC)
	for _, want := range []struct {
		mac net.HardwareAddr
		mtu int
	}{{own, 0}, {asked, 1400}} {
		link, err := l.Move(l.device(), pod, "net1", want.mac, want.mtu)
		l.must(err)
		mtu := max(want.mtu, 0)
		if want.mtu == 0 {
			mtu = 1500
		}
		if link.NIC != "eth1" || link.Up || link.MAC.String() != want.mac.String() || link.MTU != mtu || link.Ours {
			t.Errorf("the pod has %+v", link)
		}
		if _, _, err := l.State("eth1"); !errors.Is(err, ErrUplinkMissing) {
			t.Errorf("on the node it is still: %v", err)
		}
		l.must(SetUp(pod, link.Index))
		if again, err := l.Move(l.device(), pod, "net1", want.mac, want.mtu); err != nil || !again.Up || again.Index != link.Index {
			t.Errorf("the second time the pod has %+v, %v", again, err)
		}
		l.change(pod, "net1")
		repaired, err := l.Move(l.device(), pod, "net1", want.mac, mtu)
		if err != nil || repaired.Name != "net1" || repaired.MTU != mtu || repaired.Up {
			t.Errorf("after the pod's changes: %+v, %v", repaired, err)
		}
		l.change(pod, "net1")
		l.must(l.Release(t.Context(), l.device(), pod))
		l.wantHome()
		l.must(l.Release(t.Context(), l.device(), pod))
		l.wantHome()
	}
}

// The kernel brings hardware home under the name that it had in the pod, or another one.
func TestNICUnderAnotherName(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	_, err := l.Move(l.device(), pod, "net1", asked, 0)
	l.must(err)
	l.must(moveLink(pod, l.link(pod, "net1").Attrs().Index, l.Node, "dev7", plan.NICMark("eth1"), 0))
	if _, inUse, err := l.State("dev7"); err != nil || inUse != "it has the mark of a pod's, as NIC eth1" {
		t.Errorf("before it is released: %q, %v", inUse, err)
	}
	l.must(l.Release(t.Context(), l.device(), nil))
	l.wantHome()
}

// What has no hardware ends with a namespace, and another interface of the name is not taken for it.
func TestNICGone(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	_, err := l.Move(l.device(), pod, "net1", asked, 0)
	l.must(err)
	kerneltest.Remove(t, pod, "net1")
	for _, where := range []*kernel.Namespace{pod, nil} {
		if err := l.Release(t.Context(), l.device(), where); !errors.Is(err, ErrNICGone) {
			t.Errorf("released: %v", err)
		}
	}
	if _, err := l.Move(l.device(), pod, "net1", asked, 0); !errors.Is(err, ErrNICGone) {
		t.Errorf("moved: %v", err)
	}
	kerneltest.Cable(t, l.Node, "eth1", l.machine, "far2")
	other := kerneltest.MAC(t, l.Node, "eth1").String()
	l.must(l.Release(t.Context(), l.device(), nil))
	if now := l.state(); now.MAC.String() != other || now.Alias != "" {
		t.Errorf("another interface of the name was changed: %+v", now)
	}
}

// A link that a pod has made does not become one of the node by our mark, where it is of another kind or the NIC has hardware.
func TestNICMarkOnAnotherLink(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, pod, "one", pod, "two")
	kerneltest.Macvlan(t, pod, "one", pod, "forged")
	l.must(pod.Handle().LinkSetAlias(l.link(pod, "forged"), plan.NICMark("eth1")))
	l.must(l.Release(t.Context(), l.device(), pod))
	l.wantHome()
	hardware := l.device()
	hardware.Before.Kind, hardware.Before.Parent = "macvlan", "pci/0000:3b:00.1"
	l.must(l.Node.Handle().LinkSetName(l.link(l.Node, "eth1"), "eth9"))
	if err := l.Release(t.Context(), hardware, pod); !errors.Is(err, ErrNICGone) {
		t.Errorf("released: %v", err)
	}
	if _, found, err := FindLink(l.Node, "eth1"); found || err != nil {
		t.Errorf("the node has a link of the pod's: %v, %v", found, err)
	}
}

// Hardware is found without its mark, which a pod can take away; what is no hardware is not.
func TestNICWithoutMark(t *testing.T) {
	l := newLender(t)
	link := l.link(l.Node, "eth1")
	device := l.device()
	device.Before.Parent = "pci/0000:3b:00.1"
	links := []netlink.Link{&netlink.Veth{LinkAttrs: *link.Attrs()}}
	if inPod(device, links) != nil || onNode(device, links) != nil {
		t.Error("a link without hardware is taken for one with it")
	}
	links[0].Attrs().ParentDevBus, links[0].Attrs().ParentDev, links[0].Attrs().Name, links[0].Attrs().Alias = "pci", "0000:3b:00.1", "mine", ""
	if inPod(device, links) == nil || onNode(device, links) == nil {
		t.Error("hardware without its mark is not found")
	}
	other := netlink.NewLinkAttrs()
	other.Name, other.ParentDevBus, other.ParentDev = "port2", "pci", "0000:3b:00.1"
	links = append(links, &netlink.Veth{LinkAttrs: other})
	if inPod(device, links) != nil || onNode(device, links) != nil {
		t.Error("one of two ports without a mark is taken for the NIC")
	}
	links[1].Attrs().Alias = plan.NICMark("eth1")
	if found := inPod(device, links); found == nil || found.Attrs().Name != "port2" {
		t.Errorf("of two ports with one mark it is %v", found)
	}
	pod := kerneltest.Namespace(t, "pod")
	moved, err := l.Move(l.device(), pod, "net1", asked, 0)
	l.must(err)
	l.must(SetUp(pod, moved.Index))
	handle := pod.Handle()
	l.must(handle.LinkSetAlias(l.link(pod, "net1"), plan.NICMark("eth2")))
	if _, err := l.Move(l.device(), pod, "net1", asked, 0); !errors.Is(err, ErrNICGone) {
		t.Errorf("a veth whose mark is gone: %v", err)
	}
	l.must(handle.LinkSetAlias(l.link(pod, "net1"), plan.NICMark("eth1")))
	l.must(l.Release(t.Context(), l.device(), pod))
	l.wantHome()
}

// What was written down before another boot is of another NIC.
func TestNICOfAnotherBoot(t *testing.T) {
	l := newLender(t)
	before := l.before
	before.Boot, before.MTU = "another", 1400
	l.must(l.Release(t.Context(), plan.HostDevice{Interface: "eth1", Before: &before}, nil))
	l.wantHome()
}

func TestNICInUse(t *testing.T) {
	for name, test := range map[string]struct {
		use  func(*lender)
		want string
	}{
		"address":     {func(l *lender) { kerneltest.Address(l.t, l.Node, "eth1", "192.0.2.1/24") }, "the node has address 192.0.2.1/24 on it"},
		"link-local":  {func(l *lender) { kerneltest.Address(l.t, l.Node, "eth1", "fe80::7/64") }, ""},
		"macvlan":     {func(l *lender) { kerneltest.Macvlan(l.t, l.Node, "eth1", l.Node, "mv") }, "interface mv of the node is on it"},
		"veth beside": {func(l *lender) { kerneltest.Cable(l.t, l.Node, "one", l.Node, "two") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLender(t)
			test.use(l)
			if _, inUse, err := l.State("eth1"); err != nil || inUse != test.want {
				t.Errorf("in use: %q, %v, want %q", inUse, err, test.want)
			}
		})
	}
}

func TestNICRefused(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, pod, "net1", l.machine, "far2")
	if _, err := l.Move(l.device(), pod, "net1", asked, 0); !errors.Is(err, ErrNameTaken) {
		t.Errorf("name taken: %v", err)
	}
	if _, err := l.Move(l.device(), pod, "net2", asked, 70000); err == nil || !strings.Contains(err.Error(), "NIC eth1: move it into the pod as net2: its driver does not take MTU 70000") {
		t.Errorf("MTU too large: %v", err)
	}
	l.must(l.Release(t.Context(), l.device(), pod))
	l.wantHome()
	if _, _, err := l.State("eth9"); !errors.Is(err, ErrUplinkMissing) {
		t.Errorf("no such NIC: %v", err)
	}
}

// A NIC is given to a pod and taken back by an agent that is killed at one of the changes that it makes, every one in turn.
func TestNICKilledAtEveryChange(t *testing.T) {
	l := newLender(t)
	pod := kerneltest.Namespace(t, "pod")
	killAt := func(n int, changes *[]string) NICs {
		h := l.NICs
		h.before = killer(n, changes)
		return h
	}
	killed := 0
	for attaching := range 4 {
		for releasing := range 12 {
			var changes, released []string
			_, err := killAt(attaching, &changes).Move(l.device(), pod, "net1", asked, 1400)
			if err != nil && !errors.Is(err, errKilled) {
				t.Fatalf("attach, killed at %q: %v", changes, err)
			}
			if err == nil {
				l.change(pod, "net1")
			}
			err = killAt(releasing, &released).Release(t.Context(), l.device(), pod)
			if errors.Is(err, errKilled) {
				killed++
			} else if err != nil {
				t.Fatalf("release, killed at %q: %v", released, err)
			}
			l.must(l.Release(t.Context(), l.device(), pod))
			l.wantHome()
		}
	}
	t.Logf("%d releases killed", killed)
	if killed < 10 {
		t.Errorf("%d releases were killed: the kills do not reach every change", killed)
	}
}

// Hardware comes home from a namespace that ends without anybody's doing, as with a node agent that was away.
func TestSRIOVNICOfEndedNamespace(t *testing.T) {
	pf := kerneltest.RequirePFs(t, 1, "a NIC of hardware in a namespace that ends")[0]
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	vfs := VFs{Node: node}
	_, err = vfs.EnsureVFs(pf, vfsPerPF, nil)
	if err != nil {
		t.Fatal(err)
	}
	// The kernel ends namespaces one after the other, when it has nothing better to do.
	nics := NICs{Node: node, Settle: time.Minute}
	if _, inUse, err := nics.State(pf); err != nil || !strings.HasPrefix(inUse, "its 7 virtual functions need it") {
		t.Errorf("with VFs: %q, %v", inUse, err)
	}
	if err := vfs.Sys.Write("class/net/"+pf+"/device/sriov_numvfs", "0"); err != nil {
		t.Fatal(err)
	}
	before, inUse, err := nics.State(pf)
	if err != nil || inUse != "" {
		t.Fatalf("%q, %v", inUse, err)
	}
	path := t.TempDir() + "/pod"
	pod, err := kerneltest.CreateNamespace(path)
	if err != nil {
		t.Fatal(err)
	}
	device := plan.HostDevice{Interface: pf, Before: &before}
	link, err := nics.Move(device, pod, "net1", asked, 1400)
	if err != nil {
		t.Fatal(err)
	}
	if err := SetUp(pod, link.Index); err != nil {
		t.Fatal(err)
	}
	// A pod can do this.
	if err := pod.Handle().LinkSetAlias(byIndex(link.Index), ""); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pod.Close(), kerneltest.RemoveNamespace(path)); err != nil {
		t.Fatal(err)
	}
	if err := nics.Release(t.Context(), device, nil); err != nil {
		t.Fatal(err)
	}
	now, inUse, err := nics.State(pf)
	if err != nil || inUse != "" {
		t.Fatalf("%q, %v", inUse, err)
	}
	if diff := cmp.Diff(before, now); diff != "" {
		t.Errorf("the NIC differs from before (-before +now):\n%s", diff)
	}
}
