package plumb

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// The only RDMA devices that a machine without such cards can have are rxe's. The kernel moves none of them, and says so with
// EOPNOTSUPP: the test is of all that is before that, and of what a user reads.
func TestSRIOVRDMA(t *testing.T) {
	c := newCards(t, "RDMA devices of VFs")
	vf, before := c.vf(0, 2)
	pod := kerneltest.Namespace(t, "pod")
	const device = "rxe0"
	c.must(netlink.RdmaLinkAdd(device, "rxe", before.Interface))
	t.Cleanup(func() { c.must(netlink.RdmaLinkDel(device)) })

	if mode, err := netlink.RdmaSystemGetNetnsMode(); err != nil || mode != rdmaExclusive {
		t.Fatalf("RDMA devices are %s among namespaces, %v; the machine is started with them exclusive", mode, err)
	}
	err := moveRDMA(c.Node, pod, []string{device})
	if !errors.Is(err, unix.EOPNOTSUPP) || !errors.Is(err, ErrRDMAStays) || !strings.HasPrefix(err.Error(), "move RDMA device rxe0 into "+pod.Path()+": its driver cannot") {
		t.Errorf("error %v, want EOPNOTSUPP with its meaning", err)
	}
	if !seesRDMA(t, c.Node, device) || seesRDMA(t, pod, device) {
		t.Error("the refused device is not where it was")
	}
	if err := moveRDMA(pod, c.Node, []string{device}); err == nil || !strings.HasPrefix(err.Error(), "look up RDMA device rxe0: ") {
		t.Errorf("taken from a pod that does not have it: %v", err)
	}
	// rxe's device is no child of the VF, so that nobody takes it for the VF's.
	if err := c.MoveRDMA(vf, pod); !errors.Is(err, ErrNoRDMA) {
		t.Errorf("a VF whose card has no RDMA: %v", err)
	}
	c.wantClean(vf, before)
}

// seesRDMA tells whether a namespace has an RDMA device.
func seesRDMA(t *testing.T, ns *kernel.Namespace, device string) (found bool) {
	t.Helper()
	if err := ns.Do(func() error {
		links, err := netlink.RdmaLinkList()
		found = slices.ContainsFunc(links, func(l *netlink.RdmaLink) bool { return l.Attrs.Name == device })
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return found
}
