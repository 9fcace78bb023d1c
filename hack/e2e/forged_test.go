//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// forgedVXLANIsDropped: a node of another rack sends the very packet that a node of the rack gets through with.
func forgedVXLANIsDropped(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("guarded", overlaySpec())
	s.create("target", nodeC, "guarded")
	s.create("member", nodeD, "guarded")
	s.waitReady(time.Minute, "target", "member")
	s.reaches("member", "target")
	target := s.attachments("target")["net1"]
	state, err := s.inspectNode(s.ctx, nodeC)
	s.must(err)
	l, err := state.linkOf(target)
	s.must(err)
	onWire := s.capture(nodeC, "/proc/1/ns/net", "eth0", "udp port 4789")
	inPod := s.capture(nodeC, l.namespace, l.Name, "ether proto 0x88b5")

	for _, round := range []string{"first", "second"} {
		for range 3 {
			s.sendVXLAN(nodeA, target, "outsider-"+round)
		}
		s.until(time.Minute, "the packet of a member to arrive", func(context.Context) error {
			s.sendVXLAN(nodeD, target, "member-"+round)
			if got := inPod(); !strings.Contains(got, "member-"+round) {
				return fmt.Errorf("the pod got %q", got)
			}
			return nil
		})
	}
	if got := onWire(); !strings.Contains(got, "outsider-first") || !strings.Contains(got, "outsider-second") {
		t.Errorf("packets of the other rack's node never came to the node, so this test shows nothing: %s", got)
	}
	if got := inPod(); strings.Contains(got, "outsider") {
		t.Errorf("packets of the other rack's node came to the pod: %s", got)
	}
}

// sendVXLAN sends a frame to the pod of an attachment, out of a node's own namespace, as any program there could.
func (s *scene) sendVXLAN(from string, to v1alpha1.PodNetworkAttachment, text string) {
	s.t.Helper()
	overlay := to.Spec.RackLocal.Overlay
	mac, err := net.ParseMAC(to.Spec.MAC)
	s.must(err)
	packet := binary.BigEndian.AppendUint32([]byte{0x08, 0, 0, 0}, uint32(overlay.VNI)<<8)
	packet = append(packet, mac...)
	packet = append(packet, 0x02, 0, 0, 0, 0, 0x01, 0x88, 0xb5)
	packet = fmt.Appendf(packet, "%-64s", text)
	send := fmt.Sprintf("echo %s | base64 -d | socat -u STDIN UDP4-SENDTO:%s", base64.StdEncoding.EncodeToString(packet),
		netip.AddrPortFrom(netip.MustParseAddr(overlay.NodeAddress), uint16(overlay.Port)))
	_, err = s.OnNode(s.ctx, from, "sh", "-c", send)
	s.must(err)
}

// capture starts tcpdump in a network namespace of a node and returns what reads its output. It is ended with the test:
// a process in a namespace keeps it alive.
func (s *scene) capture(node, namespace, device, filter string) (read func() string) {
	s.t.Helper()
	log := fmt.Sprintf("/tmp/capture-%d", time.Now().UnixNano())
	start := fmt.Sprintf("echo $$ >%[1]s.pid; exec nsenter --net=%[2]s tcpdump -p -n -l -A -i %[3]s '%[4]s' >%[1]s 2>&1", log, namespace, device, filter)
	out, err := s.Detached(s.ctx, node, "sh", "-c", start)
	if err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	s.t.Cleanup(func() {
		if out, err := s.OnNode(s.ctx, node, "sh", "-c", fmt.Sprintf("kill $(cat %[1]s.pid); rm %[1]s.pid %[1]s", log)); err != nil {
			s.t.Errorf("ending tcpdump: %v: %s", err, out)
		}
	})
	read = func() string {
		s.t.Helper()
		out, err := s.OnNode(s.ctx, node, "cat", log)
		s.must(err)
		return out
	}
	s.until(time.Minute, "tcpdump to listen", func(ctx context.Context) error {
		if out, err := s.OnNode(ctx, node, "cat", log); err != nil || !strings.Contains(out, "listening on") {
			return fmt.Errorf("it wrote %q (%w)", out, err)
		}
		return nil
	})
	return read
}

// nothingUnknownLeavesTheNode: from before a pod starts until it has asked for all sorts of neighbours, a node sends to others
// of the rack what is for a pod there, and nothing else.
func nothingUnknownLeavesTheNode(t *testing.T) {
	s := newScene(t, nodeC, nodeD)
	s.network("quiet", overlaySpec())
	onWire := s.capture(nodeC, "/proc/1/ns/net", "eth0", "udp port 4789")
	s.create("curious", nodeC, "quiet")
	s.create("known", nodeD, "quiet")
	s.waitReady(time.Minute, "curious", "known")
	pod, err := s.get(s.ctx, "curious")
	s.must(err)
	for _, address := range s.addressesOf("known") {
		nobody := address.Next().Next().Next()
		if _, err := s.pingFrom(s.ctx, "curious", nobody); err == nil {
			t.Errorf("%s answers, which no pod has", nobody)
		}
	}
	const shout = "arping -I net1 -c 1 -w 1 10.61.255.254; ping -I net1 -c 1 -W 1 ff02::1; ping -I net1 -c 1 -W 1 255.255.255.255; true"
	_, err = s.InPod(s.ctx, pod, "sh", "-c", shout)
	s.must(err)
	s.reaches("curious", "known")

	echoes := 0
	for line := range strings.Lines(onWire()) {
		switch {
		case strings.Contains(line, "echo reply"), strings.Contains(line, "echo request"):
			echoes++
			if !s.isOneOf(line, s.addressesOf("known")) {
				t.Errorf("the node sent %s", line)
			}
		case strings.Contains(line, "ARP"), strings.Contains(line, "ICMP6"), strings.Contains(line, "IP6 ::"), strings.Contains(line, "ff02::"):
			t.Errorf("the node sent %s", line)
		}
	}
	if echoes < 4 {
		t.Errorf("tcpdump saw %d echoes, so this test shows nothing: %s", echoes, onWire())
	}
}

// isOneOf tells whether tcpdump's line is of a packet to or from one of the addresses.
func (s *scene) isOneOf(line string, addresses []netip.Addr) bool {
	for _, address := range addresses {
		if strings.Contains(line, " "+address.String()+" > ") || strings.Contains(line, "> "+address.String()+":") {
			return true
		}
	}
	return false
}
