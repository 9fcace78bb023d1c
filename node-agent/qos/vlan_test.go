package qos

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

const vlanID = 100

// hasVLANs tells whether this kernel has 802.1Q. Where it has not, what happens then is tested instead.
func (w *world) hasVLANs() bool {
	_, err := plumb.EnsureVLAN(w.node, "eth1", vlanID)
	if errors.Is(err, plumb.ErrNoVLANSupport) {
		return false
	}
	must(w.t, err)
	return true
}

// tagged is a pod in the VLAN.
func (w *world) tagged(n int, qos *plan.QoS) *testPod {
	w.t.Helper()
	a := attachment(n, qos)
	a.Macvlan.VLAN = vlanID
	p := &testPod{Namespace: kerneltest.Namespace(w.t, "tagged"), Attachment: a}
	w.planned = append(w.planned, a)
	w.apply()
	uplink, err := plumb.EnsureVLAN(w.node, "eth1", vlanID)
	must(w.t, err)
	link, _, err := plumb.EnsureMacvlan(w.node, p.Namespace, plumb.Macvlan{Name: "net1", Uplink: uplink, MAC: net.HardwareAddr(a.MAC), Mode: "bridge"})
	must(w.t, err)
	p.index = link.Index
	must(w.t, plumb.SetUp(p.Namespace, link.Index))
	p.v4 = netip.AddrFrom4([4]byte{10, 100, 1, byte(n)})
	kerneltest.Address(w.t, p.Namespace, "net1", p.v4.String()+"/16")
	w.guard(p)
	return p
}

// tags counts the 802.1p priorities in the tags of frames from a pod, and frames without a tag as -1.
func tagsOf(p *testPod, capture *kerneltest.TagCapture) map[int]int {
	seen := map[int]int{}
	for _, f := range capture.Frames() {
		if newMAC(f.Frame[frameSource:frameSource+6]) == newMAC(p.MAC) {
			seen[f.Priority]++
		}
	}
	return seen
}

// On a VLAN the priority stands in the tag, and a pod cannot ask for another.
func TestPriorityInTheTag(t *testing.T) {
	w := newWorld(t, 100*mbit)
	if !w.hasVLANs() {
		a := attachment(1, withPriority(asking("gold", plan.Bandwidth{Maximum: mbit}, plan.Bandwidth{}), 5))
		a.Macvlan.VLAN = vlanID
		w.planned = []plan.Attachment{a}
		w.apply()
		w.wantMissing(a, v1alpha1.ReasonQoSFailed, plan.KnobPriority)
		return
	}
	gold := w.tagged(1, withPriority(asking("gold", plan.Bandwidth{Maximum: 10 * mbit}, plan.Bandwidth{}), 5))
	plain := w.tagged(2, nil)
	w.wantMissing(gold.Attachment, "")
	capture := kerneltest.NewTagCapture(t, w.machine, "far1")
	for name, c := range map[string]struct {
		pod  *testPod
		want int
	}{"gold": {gold, 5}, "without a class": {plain, 0}} {
		kerneltest.Inside(t, c.pod.Namespace, func() error { return shout(netip.MustParseAddr("10.100.255.255")) })
		kerneltest.Eventually(t, name+": frames arrive with the tag of its class", func() bool { return tagsOf(c.pod, capture)[c.want] > 0 })
		kerneltest.Inside(t, c.pod.Namespace, func() error { return shout(netip.MustParseAddr("10.100.255.255")) })
		for tag, n := range tagsOf(c.pod, capture) {
			if tag != c.want {
				t.Errorf("%s: %d frames have priority %d, want %d", name, n, tag, c.want)
			}
		}
	}
	if before := w.count("gold", "egress"); before < 10 {
		t.Errorf("gold's class on the uplink counts %d packets", before)
	}
	w.planned = nil
	w.apply()
	if pinned, err := w.manager.pins.list(linksDir); err != nil || len(pinned) > 0 {
		t.Errorf("still pinned: %v %v", pinned, err)
	}
}

// What pods of a VLAN send each other waits in the queues of the receiver's class, and so does what comes over the uplink, each once.
func TestQueuesBetweenPodsOfAVLAN(t *testing.T) {
	w := newWorld(t, 100*mbit)
	slow := asking("slow", plan.Bandwidth{}, plan.Bandwidth{Maximum: mbit / 5})
	if !w.hasVLANs() {
		a := attachment(1, slow)
		a.Macvlan.VLAN = vlanID
		w.planned = []plan.Attachment{a}
		w.apply()
		w.wantMissing(a, v1alpha1.ReasonQoSFailed, plan.KnobIngressMaximum)
		return
	}
	_, err := plumb.EnsureVLAN(w.machine, "far1", vlanID)
	must(t, err)
	kerneltest.Address(t, w.machine, plumb.VLANName("far1", vlanID), "10.100.0.1/16")
	receiver, sender := w.tagged(1, slow), w.tagged(2, nil)
	w.wantMissing(receiver.Attachment, "")
	const few = 8 // of 16 KiB that may be sent at once
	for name, from := range map[string]*kernel.Namespace{"a neighbour": sender.Namespace, "elsewhere": w.machine} {
		f := kerneltest.UDP(t, from, receiver.Namespace, receiver.v4, 0)
		before := w.count("slow", "ingress")
		must(t, f.Burst(few))
		kerneltest.Within(t, 20*time.Second, name+": it arrives", func() bool { return f.Received() == f.Sent() })
		if counted := w.count("slow", "ingress") - before; counted < few || counted >= 2*few {
			t.Errorf("%s: of %d packets the receiver's class counts %d", name, few, counted)
		}
		drops := w.counter("slow", "ingress").Drops
		must(t, f.Burst(60)) // more than may be sent at once, and than the queue holds
		kerneltest.Within(t, 20*time.Second, name+": the queue is full", func() bool { return w.counter("slow", "ingress").Drops > drops })
		kerneltest.Within(t, 20*time.Second, name+": and empty again", func() bool { return w.counter("slow", "ingress").Backlog == 0 })
		f.Stop()
	}
	// Another agent finds all of it, and leaves it.
	w.manager = w.newManager()
	w.apply()
	w.wantMissing(receiver.Attachment, "")
	w.planned = nil
	w.apply()
	list, err := qdiscs(w.node)
	must(t, err)
	if hasClsact(list, w.index(plumb.VLANName("eth1", vlanID))) {
		t.Error("clsact is still on the VLAN's link")
	}
	w.wantNothing()
}

// shout sends broadcasts by a socket that asks for the highest priority.
func shout(to netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	socket := os.NewFile(uintptr(fd), "broadcast")
	defer socket.Close()
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 7),
		unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4(), Port: 9}))
	for range 10 {
		if err == nil {
			_, err = socket.Write([]byte("x"))
		}
	}
	return err
}
