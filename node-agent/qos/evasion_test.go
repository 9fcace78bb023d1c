package qos

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// evasion is a node with a gold pod, and a pod without a class that wants more.
type evasion struct {
	*world
	gold, thief *testPod
}

func newEvasion(t *testing.T) evasion {
	w := newWorld(t, 100*mbit)
	e := evasion{world: w, gold: w.pod(1, asking("gold", plan.Bandwidth{Guaranteed: 60 * mbit}, plan.Bandwidth{})), thief: w.pod(2, nil)}
	w.ping(e.gold)
	w.ping(e.thief)
	return e
}

const stolen = 50

// wantCharged does something and compares where its packets were counted: packets of the thief, in none but the class without a
// class, or in none at all. What the kernels say to each other meanwhile, such as ARP, is not much.
func (e evasion) wantCharged(what string, do func(), least uint64) {
	e.t.Helper()
	classes := []string{"gold", "(node)", "(broadcast)", "(none)"}
	before := map[string]uint64{}
	for _, c := range classes {
		before[c] = e.count(c, "egress")
	}
	do()
	for _, c := range classes {
		counted := e.count(c, "egress") - before[c]
		switch {
		case c == "(none)" && counted < least:
			e.t.Errorf("%s: the default class counts %d packets, want at least %d", what, counted, least)
		case c == "(none)" && least == 0 && counted >= stolen, c != "(none)" && counted >= stolen/2:
			e.t.Errorf("%s: class %s counts %d packets of a pod that has no class", what, c, counted)
		}
	}
}

// A socket may ask for a class by SO_PRIORITY, which HTB looks at first.
func TestSocketPriority(t *testing.T) {
	e := newEvasion(t)
	to := net.UDPAddrFromAddrPort(kerneltest.Echo(t, e.machine, netip.MustParseAddr("10.20.0.1")))
	for name, priority := range map[string]uint32{
		"gold's class": handle(minorFirst), "the node's class": handle(minorNode), "no class": handle(0), "the root class": handle(minorRoot), "802.1p": 6,
	} {
		e.wantCharged(name, func() {
			var conn *net.UDPConn
			kerneltest.Inside(t, e.thief.Namespace, func() (err error) {
				conn, err = net.DialUDP("udp", nil, to)
				return err
			})
			defer conn.Close()
			raw, err := conn.SyscallConn()
			must(t, err)
			must(t, raw.Control(func(fd uintptr) {
				err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PRIORITY, int(priority)),
					unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, 77))
			}))
			must(t, err)
			for range stolen {
				_, err := conn.Write([]byte("x"))
				must(t, err)
			}
		}, stolen)
	}
}

// send writes frames with a source MAC to the pod's link by a packet socket, round the queues of the link if bypass says so.
func (e evasion) send(source net.HardwareAddr, bypass bool) (refused int) {
	e.t.Helper()
	link, err := e.thief.Handle().LinkByName("net1")
	must(e.t, err)
	var fd int
	kerneltest.Inside(e.t, e.thief.Namespace, func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, map[bool]int{true: 1}[bypass]),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, int(handle(minorFirst))),
			unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index}))
	})
	socket := os.NewFile(uintptr(fd), "packet")
	defer socket.Close()
	frame := newFrame(newMAC(plan.HardwareAddr(kerneltest.MAC(e.t, e.machine, "far1"))), newMAC(plan.HardwareAddr(source)), 0x88b5)
	for range stolen {
		if _, err := socket.Write(frame); err != nil {
			refused++
		}
	}
	return refused
}

// A packet socket may send with any source.
func TestSpoofedSource(t *testing.T) {
	e := newEvasion(t)
	goldMAC, nodes := net.HardwareAddr(e.gold.MAC), kerneltest.MAC(t, e.node, "eth1")
	for name, c := range map[string]struct {
		source net.HardwareAddr
		bypass bool
		least  uint64
	}{
		"gold's MAC":                              {goldMAC, false, 0},
		"the node's MAC":                          {nodes, false, 0},
		"nobody's MAC":                            {net.HardwareAddr{2, 9, 9, 9, 9, 9}, false, 0},
		"its own MAC":                             {net.HardwareAddr(e.thief.MAC), false, stolen},
		"gold's MAC, round the link's queues":     {goldMAC, true, stolen},
		"the node's MAC, round the link's queues": {nodes, true, stolen},
		"nobody's MAC, round the link's queues":   {net.HardwareAddr{2, 9, 9, 9, 9, 9}, true, stolen},
	} {
		e.wantCharged(name, func() {
			if refused := e.send(c.source, c.bypass); c.least == 0 && refused != stolen || c.least > 0 && refused > 0 {
				t.Errorf("%s: %d of %d frames were refused", name, refused, stolen)
			}
		}, c.least)
	}
}

// A pod with NET_ADMIN may change the MAC of its link.
func TestChangedMAC(t *testing.T) {
	e := newEvasion(t)
	link, err := e.thief.Handle().LinkByName("net1")
	must(t, err)
	must(t, e.thief.Handle().LinkSetDown(link))
	// That of a neighbour or of the uplink is refused as long as those are there, when the link comes up if not before.
	for name, taken := range map[string]net.HardwareAddr{"gold's": net.HardwareAddr(e.gold.MAC), "the uplink's": kerneltest.MAC(t, e.node, "eth1")} {
		if err := errors.Join(e.thief.Handle().LinkSetHardwareAddr(link, taken), e.thief.Handle().LinkSetUp(link)); err == nil {
			t.Errorf("the pod has taken %s MAC", name)
		}
	}
	other := net.HardwareAddr{2, 9, 9, 9, 9, 9}
	must(t, e.thief.Handle().LinkSetHardwareAddr(link, other))
	must(t, e.thief.Handle().LinkSetUp(link))
	e.wantCharged("another MAC", func() { e.send(other, false) }, 0)
	e.wantCharged("another MAC, round the link's queues", func() { e.send(other, true) }, stolen)
}

// A pod with NET_ADMIN may do with the qdiscs of its link what it likes.
func TestQdiscsInThePod(t *testing.T) {
	e := newEvasion(t)
	handleOf, index := e.thief.Handle(), e.thief.index
	must(t, handleOf.QdiscAdd(clsact(index)))
	must(t, handleOf.QdiscDel(clsact(index)))
	htb := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: index, Parent: netlink.HANDLE_ROOT, Handle: handle(0)})
	must(t, handleOf.QdiscAdd(htb))
	must(t, handleOf.QdiscDel(htb))
	if !e.guarded(e.thief) {
		t.Error("the program is gone from the pod's link")
	}
	e.wantCharged("gold's MAC", func() { e.send(net.HardwareAddr(e.gold.MAC), false) }, 0)
	e.wantCharged("its own MAC", func() { e.send(net.HardwareAddr(e.thief.MAC), false) }, stolen)
}
