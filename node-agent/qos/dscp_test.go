package qos

import (
	"net/netip"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// The DSCP is on what arrives at the machine, over both families, TCP and UDP, and follows a change of the class.
func TestDSCPOnTheWire(t *testing.T) {
	w := newWorld(t, 100*mbit)
	marking := func(dscp int) *plan.QoS { return &plan.QoS{Class: "marked", DSCP: &dscp} }
	p := w.pod(1, marking(46))
	capture := kerneltest.NewCapture(t, w.machine, "far1")
	for _, dscp := range []int{46, 34, 0} {
		w.change(p, marking(dscp))
		if r := w.manager.Report(p.Attachment); r.DSCP == nil || *r.DSCP != dscp || len(r.Missing) > 0 {
			t.Errorf("report %+v, want DSCP %d", r, dscp)
		}
		quiet := 0
		kerneltest.Eventually(t, "nothing of the last round is on the way", func() bool {
			if quiet++; len(capture.Frames()) > 0 {
				quiet = 0
			}
			return quiet == 50
		})
		for _, addr := range []string{"10.20.0.1", "fd00:20::1"} {
			u := kerneltest.UDP(t, p.Namespace, w.machine, netip.MustParseAddr(addr), mbit)
			f := kerneltest.TCP(t, p.Namespace, w.machine, netip.MustParseAddr(addr), 1)
			kerneltest.Eventually(t, "TCP and UDP arrive", func() bool { return f.Received() > 1<<16 && u.Received() > 0 })
			f.Stop()
			u.Stop()
		}
		seen := map[uint16]int{}
		for _, frame := range capture.Frames() {
			if newMAC(frame[frameSource:frameSource+6]) != newMAC(p.MAC) {
				continue
			}
			kind := uint16(frame[frameType])<<8 | uint16(frame[frameType+1])
			var has int
			switch kind {
			case 0x0800:
				has = int(frame[frameHeader+1] >> 2)
				if checksum4(frame[frameHeader:frameHeader+ipv4Header]) != 0 {
					t.Error("the checksum of an IPv4 header is wrong")
				}
			case 0x86dd:
				has = int(frame[frameHeader]&0xf)<<2 | int(frame[frameHeader+1]>>6)
			default:
				continue
			}
			seen[kind]++
			if has != dscp {
				t.Fatalf("a packet of type %x has DSCP %d, want %d", kind, has, dscp)
			}
		}
		if seen[0x0800] < 10 || seen[0x86dd] < 10 {
			t.Errorf("saw %v packets", seen)
		}
	}
}
