package plumb

import (
	"errors"
	"net"
	"slices"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// cards are the node's network cards with all their VFs, up, on one wire.
type cards struct {
	t *testing.T
	VFs
	pfs []string
}

const vfsPerPF = 7

func newCards(t *testing.T, feature string) *cards {
	pfs := kerneltest.RequirePFs(t, 2, feature)
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	c := &cards{t: t, VFs: VFs{Node: node}, pfs: pfs}
	for _, pf := range pfs {
		kerneltest.SetUpPF(t, node, pf)
		if _, err := c.EnsureVFs(pf, vfsPerPF, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cards) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// vf returns a VF that is clean, and its state; it must be so again at the end of the test.
func (c *cards) vf(pf, index int) (VF, plan.VFState) {
	c.t.Helper()
	address := kerneltest.VF(c.t, c.Node, c.pfs[pf], index)
	vf, err := c.Find(address)
	c.must(err)
	if vf.PF != c.pfs[pf] || vf.Index != index || vf.PFDriver != "igb" {
		c.t.Fatalf("found %+v by the address of VF %d of %s", vf, index, c.pfs[pf])
	}
	_, err = c.awaitInterface(c.t.Context(), address)
	c.must(err)
	before, err := c.State(vf, nil)
	c.must(err)
	if before.Driver != "igbvf" || before.Interface == "" || before.VLAN != 0 || before.Trust || !before.SpoofCheck || before.MaxTxRate != 0 {
		c.t.Fatalf("%s is not clean at the start: %+v", vf, before)
	}
	return vf, before
}

func (c *cards) wantClean(vf VF, before plan.VFState) {
	c.t.Helper()
	now, err := c.State(vf, nil)
	c.must(err)
	if differences := before.Differences(now); len(differences) > 0 {
		c.t.Fatalf("%s is dirty: %q", vf, differences)
	}
	if link, found, err := FindLink(c.Node, before.Interface); err != nil || !found || link.Up || link.OurVF || link.PCIAddress != vf.PCIAddress {
		c.t.Fatalf("%s: interface %s on the node: %+v, found %v, %v", vf, before.Interface, link, found, err)
	}
}

func (c *cards) release(vf VF, before plan.VFState, pod *kernel.Namespace) {
	c.t.Helper()
	c.must(c.Release(c.t.Context(), vf, before, pod))
	c.wantClean(vf, before)
}

// attach configures a VF and puts it into a pod as net1, up.
func (c *cards) attach(vf VF, pod *kernel.Namespace, mac net.HardwareAddr, settings plan.VFSettings) {
	c.t.Helper()
	c.must(c.Configure(c.t.Context(), vf, settings, mac, pod))
	link, _, err := c.Move(vf, pod, "net1", 0)
	c.must(err)
	if link.MAC.String() != mac.String() || !link.OurVF || link.PCIAddress != vf.PCIAddress {
		c.t.Fatalf("in the pod is %+v, want MAC %s", link, mac)
	}
	c.must(SetUp(pod, link.Index))
}

func ptr[T any](v T) *T { return &v }

func mac(last byte) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 7, last} }

var errKilled = errors.New("killed")

// killAt returns the same VFs, which stop at the n-th change from now, 0 for the first; changes collects them.
func (c *cards) killAt(n int, changes *[]string) VFs {
	h := c.VFs
	h.before = killer(n, changes)
	return h
}

// killer ends the work after n changes, which it notes.
func killer(n int, changes *[]string) func(change string) error {
	return func(change string) error {
		*changes = append(*changes, change)
		if len(*changes) > n {
			return errKilled
		}
		return nil
	}
}

func contains(list []string, wanted ...string) bool {
	for _, w := range wanted {
		if !slices.Contains(list, w) {
			return false
		}
	}
	return true
}
