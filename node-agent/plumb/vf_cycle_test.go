package plumb

import (
	"errors"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// 200 times a VF is given to a pod and taken back, by an agent that is killed at one of the changes that it makes, every one of
// them in turn, and by another that is killed while it releases. What is written in the ledger is enough to make it clean.
func TestSRIOVKilledAtEveryChange(t *testing.T) {
	c := newCards(t, "kills at every change of a VF")
	vf, before := c.vf(0, 0)
	settings := plan.VFSettings{VLAN: ptr(100), VLANQoS: ptr(3), SpoofCheck: ptr(false), Trust: ptr(true), MaxTxRate: ptr(100)}
	untrusted := plan.VFSettings{VLAN: ptr(100), MaxTxRate: ptr(100)}
	pod := kerneltest.Namespace(t, "pod")
	attach := func(h VFs, s plan.VFSettings) error {
		if err := h.Configure(t.Context(), vf, s, mac(1), pod); err != nil {
			return err
		}
		link, _, err := h.Move(vf, pod, "net1", 1400)
		if err != nil {
			return err
		}
		return SetUp(pod, link.Index)
	}
	var attaching, releasing int
	killed, after := 0, 0
	for i := range 200 {
		s := settings
		if i%2 == 1 {
			s = untrusted
		}
		var changes []string
		err := attach(c.killAt(attaching, &changes), s)
		if err != nil && !errors.Is(err, errKilled) {
			t.Fatalf("attach %d, after %q: %v", i, changes, err)
		}
		attaching++
		if err == nil {
			attaching = 0
			after++
		} else {
			killed++
		}
		var released []string
		err = c.killAt(releasing, &released).Release(t.Context(), vf, before, c.sometimes(pod, i))
		releasing++
		if !errors.Is(err, errKilled) {
			releasing = 0
		}
		c.must(c.Release(t.Context(), vf, before, c.sometimes(pod, i/2)))
		c.wantClean(vf, before)
	}
	t.Logf("%d attaches killed, %d complete", killed, after)
	if killed < 100 || after < 10 {
		t.Errorf("%d attaches were killed and %d complete: the kills do not reach every change", killed, after)
	}
}

// sometimes forgets the namespace, as an agent does whose runtime has told it nothing.
func (c *cards) sometimes(pod *kernel.Namespace, i int) *kernel.Namespace {
	if i%8 == 7 {
		return nil
	}
	return pod
}
