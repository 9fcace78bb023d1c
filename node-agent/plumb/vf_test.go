package plumb

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// Every attribute that igb takes is read back with netlink by itself, and the VF is clean afterwards.
func TestSRIOVAttributes(t *testing.T) {
	c := newCards(t, "attributes of VFs")
	for name, test := range map[string]struct {
		settings plan.VFSettings
		want     func(*plan.VFState)
	}{
		"nothing":        {plan.VFSettings{}, func(*plan.VFState) {}},
		"vlan":           {plan.VFSettings{VLAN: ptr(100)}, func(s *plan.VFState) { s.VLAN = 100 }},
		"the last vlan":  {plan.VFSettings{VLAN: ptr(4095)}, func(s *plan.VFState) { s.VLAN = 4095 }},
		"vlan and qos":   {plan.VFSettings{VLAN: ptr(100), VLANQoS: ptr(7), VLANProto: "802.1q"}, func(s *plan.VFState) { s.VLAN, s.VLANQoS = 100, 7 }},
		"no spoof check": {plan.VFSettings{SpoofCheck: ptr(false)}, func(s *plan.VFState) { s.SpoofCheck = false }},
		"trust":          {plan.VFSettings{Trust: ptr(true)}, func(s *plan.VFState) { s.Trust = true }},
		"rate":           {plan.VFSettings{MaxTxRate: ptr(1000)}, func(s *plan.VFState) { s.MaxTxRate = 1000 }},
		"all": {plan.VFSettings{VLAN: ptr(5), VLANQoS: ptr(3), SpoofCheck: ptr(false), Trust: ptr(true), LinkState: "auto", MinTxRate: ptr(0), MaxTxRate: ptr(10)},
			func(s *plan.VFState) {
				s.VLAN, s.VLANQoS, s.SpoofCheck, s.Trust, s.MaxTxRate = 5, 3, false, true, 10
			}},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			vf, before := c.vf(0, 3)
			c.must(c.Configure(t.Context(), vf, test.settings, mac(3), nil))
			want := before
			want.AdminMAC, want.MAC = mac(3).String(), mac(3).String()
			test.want(&want)
			is, err := c.State(vf, nil)
			c.must(err)
			is.Interface = before.Interface // The kernel numbers what is bound anew.
			if is != want {
				t.Errorf("read back %+v\nwant %+v", is, want)
			}
			var changes []string
			c.must(c.killAt(0, &changes).Configure(t.Context(), vf, test.settings, mac(3), nil))
			if len(changes) > 0 {
				t.Errorf("the second time it changed %q", changes)
			}
			c.release(vf, before, nil)
		})
	}
}

// What igb refuses is told with PF, VF, attribute and what the number means, and nothing is left of it.
func TestSRIOVRefusedAttributes(t *testing.T) {
	c := newCards(t, "attributes that a VF cannot have")
	for name, test := range map[string]struct {
		settings plan.VFSettings
		want     string
		errno    error
	}{
		"link state": {plan.VFSettings{LinkState: "disable"},
			"set linkState to disable: the driver igb of the PF cannot set it: operation not supported", unix.EOPNOTSUPP},
		"link state on": {plan.VFSettings{LinkState: "enable"},
			"set linkState to enable: the driver igb of the PF cannot set it: operation not supported", unix.EOPNOTSUPP},
		"minimum rate": {plan.VFSettings{MinTxRate: ptr(10)},
			"set minTxRate to 10: the driver igb of the PF does not take this rate: it has no such limit, the link is slower, or it has no carrier: invalid argument", unix.EINVAL},
		"rate above the link's": {plan.VFSettings{MaxTxRate: ptr(1001)},
			"set maxTxRate to 1001: the driver igb of the PF does not take this rate: it has no such limit, the link is slower, or it has no carrier: invalid argument", unix.EINVAL},
		"802.1ad": {plan.VFSettings{VLAN: ptr(100), VLANProto: "802.1ad"},
			"set vlanProto to 802.1ad: the driver igb of the PF does not have this protocol: protocol not supported", unix.EPROTONOSUPPORT},
		"vlan": {plan.VFSettings{VLAN: ptr(4096)},
			"set vlan to 4096: the value is out of the range of the driver igb: invalid argument", unix.EINVAL},
		"priority": {plan.VFSettings{VLAN: ptr(4), VLANQoS: ptr(8)},
			"set vlanQoS to 8: the value is out of the range of the driver igb: invalid argument", unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			vf, before := c.vf(0, 4)
			err := c.Configure(t.Context(), vf, test.settings, mac(4), nil)
			var refused *VFError
			if !errors.As(err, &refused) || !errors.Is(err, test.errno) {
				t.Fatalf("error %v, want a *VFError with %v", err, test.errno)
			}
			want := vf.String() + ": " + test.want
			// Where two attributes hang together, the other is told on a line of its own.
			if lines := strings.Split(err.Error(), "\n"); !contains(lines, want) {
				t.Errorf("error\n%s\nwant\n%s", err, want)
			}
			c.release(vf, before, nil)
		})
	}
}

// A PF that is down answers no VF: the MAC and the rate are refused with what to do.
func TestSRIOVPFDown(t *testing.T) {
	c := newCards(t, "a PF that is down")
	vf, before := c.vf(1, 2)
	pod := kerneltest.Namespace(t, "pod")
	kerneltest.SetDown(t, c.Node, vf.PF)
	for want, test := range map[string]plan.VFSettings{
		"set mac to " + mac(2).String() + ": PF " + vf.PF + " is down: bring it up: network is down": {},
		"set maxTxRate to 100: PF " + vf.PF + " is down: bring it up: invalid argument":              {MaxTxRate: ptr(100)},
	} {
		err := c.Configure(t.Context(), vf, test, mac(2), nil)
		if err == nil || err.Error() != vf.String()+": "+want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	kerneltest.SetUpPF(t, c.Node, vf.PF)
	c.attach(vf, pod, mac(2), plan.VFSettings{MaxTxRate: ptr(100)})
	carrier := func() bool {
		attrs, err := interfaceIn(pod, vf.PCIAddress)
		c.must(err)
		return attrs.RawFlags&unix.IFF_LOWER_UP != 0
	}
	// igbvf looks every two seconds, and after a reset of its PF not before ten.
	const patience = 25 * time.Second
	kerneltest.Within(t, patience, "the pod has a carrier", carrier)
	kerneltest.SetDown(t, c.Node, vf.PF)
	kerneltest.Within(t, patience, "the pod has no carrier while the PF is down", func() bool { return !carrier() })
	kerneltest.SetUpPF(t, c.Node, vf.PF)
	kerneltest.Within(t, patience, "the pod has a carrier again", carrier)
	c.release(vf, before, pod)
}

// The namespace is gone, and the kernel has put the interface onto the node under the pod's name.
func TestSRIOVNamespaceGone(t *testing.T) {
	c := newCards(t, "a VF whose namespace vanished")
	vf, before := c.vf(0, 5)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(vf, pod, mac(5), plan.VFSettings{VLAN: ptr(9), Trust: ptr(true)})
	c.must(pod.Close())
	c.must(kerneltest.RemoveNamespace(pod.Path()))
	// The kernel ends namespaces one after the other, when it has nothing better to do.
	kerneltest.Within(t, 30*time.Second, "the interface is on the node under its pod name", func() bool {
		link, found, err := FindLink(c.Node, "net1")
		return err == nil && found && link.OurVF
	})
	c.release(vf, before, nil)
}

// The interface is in a namespace that nobody knows: its driver takes it away.
func TestSRIOVNamespaceUnknown(t *testing.T) {
	c := newCards(t, "a VF in an unknown namespace")
	vf, before := c.vf(0, 5)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(vf, pod, mac(5), plan.VFSettings{})
	if _, _, err := c.Move(vf, kerneltest.Namespace(t, "other"), "net1", 0); err == nil || !strings.HasSuffix(err.Error(), "in another namespace") {
		t.Errorf("the VF of another pod: %v", err)
	}
	c.release(vf, before, nil)
	if attrs, err := interfaceIn(pod, vf.PCIAddress); err != nil || attrs != nil {
		t.Errorf("in the pod is %+v, %v", attrs, err)
	}
}

// What a pod did to the VF is undone.
func TestSRIOVPodChangedIt(t *testing.T) {
	c := newCards(t, "a VF that its pod has changed")
	vf, before := c.vf(1, 5)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(vf, pod, mac(5), plan.VFSettings{Trust: ptr(true)})
	attrs, err := interfaceIn(pod, vf.PCIAddress)
	c.must(err)
	link, handle := byIndex(attrs.Index), pod.Handle()
	c.must(errors.Join(handle.LinkSetMTU(link, 1400), handle.LinkSetHardwareAddr(link, mac(77)), handle.SetPromiscOn(link),
		handle.LinkSetAllmulticastOn(link), handle.LinkSetTxQLen(link, 5), handle.LinkSetAlias(link, "mine")))
	kerneltest.SetDown(t, pod, "net1")
	kerneltest.Rename(t, pod, "net1", "stolen")
	is, err := c.State(vf, pod)
	c.must(err)
	if is.MTU != 1400 || !is.Promiscuous || !is.AllMulticast || is.TxQueueLength != 5 || is.Alias != "mine" || is.Interface != "stolen" || is.MAC != mac(77).String() {
		t.Errorf("the pod's changes read back as %+v", is)
	}
	c.must(c.Configure(t.Context(), vf, plan.VFSettings{Trust: ptr(true)}, mac(5), pod))
	again, _, err := c.Move(vf, pod, "net1", 1500)
	if err != nil || again.Name != "net1" || again.MTU != 1500 || !again.OurVF || again.MAC.String() != mac(5).String() {
		t.Errorf("made right again is %+v, %v", again, err)
	}
	c.release(vf, before, pod)
}

func TestSRIOVNameAndMTUAreRefused(t *testing.T) {
	c := newCards(t, "a VF whose name in the pod is taken")
	vf, before := c.vf(0, 6)
	pod := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, pod, "net1", c.Node, "cable")
	// The name that it has on the node is taken in the pod, too, as eth0 always is.
	kerneltest.Cable(t, pod, before.Interface, c.Node, "cable2")
	if _, _, err := c.Move(vf, pod, "net1", 0); !errors.Is(err, ErrNameTaken) {
		t.Errorf("error %v, want that the name is taken", err)
	}
	_, _, err := c.Move(vf, pod, "net2", 60000)
	if want := vf.String() + ": set mtu to 60000: "; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want it to begin with %s", err, want)
	}
	link, _, err := c.Move(vf, pod, "net2", 1400)
	if err != nil || link.MTU != 1400 || link.Name != "net2" {
		t.Errorf("moved is %+v, %v", link, err)
	}
	c.release(vf, before, pod)
}

// A name that somebody has taken on the node meanwhile makes the VF dirty, and says so.
func TestSRIOVNameTakenOnNode(t *testing.T) {
	c := newCards(t, "a VF whose name on the node is taken")
	vf, before := c.vf(0, 6)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(vf, pod, mac(6), plan.VFSettings{})
	kerneltest.Cable(t, c.Node, before.Interface, kerneltest.Namespace(t, "far"), "far")
	err := c.Release(t.Context(), vf, before, pod)
	var dirty *DirtyError
	if !errors.As(err, &dirty) || len(dirty.Reasons) != 1 || !strings.HasPrefix(dirty.Reasons[0], "interface is ") || !errors.Is(err, unix.EEXIST) {
		t.Errorf("error %v, want one reason", err)
	}
	kerneltest.Remove(t, c.Node, before.Interface)
	c.release(vf, before, pod)
}

// A VF whose driver is bound anew keeps its name, although the kernel would give it that of one that is in a pod.
func TestSRIOVNameOfAnother(t *testing.T) {
	c := newCards(t, "VFs that come and go at once")
	first, firstBefore := c.vf(0, 0)
	second, secondBefore := c.vf(1, 6)
	pod := kerneltest.Namespace(t, "pod")
	c.attach(first, pod, mac(6), plan.VFSettings{})
	c.must(c.Configure(t.Context(), second, plan.VFSettings{}, mac(7), nil))
	if link, found, err := FindLink(c.Node, secondBefore.Interface); err != nil || !found || link.PCIAddress != second.PCIAddress {
		t.Errorf("interface %s is %+v, found %v, %v", secondBefore.Interface, link, found, err)
	}
	c.release(first, firstBefore, pod)
	c.release(second, secondBefore, nil)
}

func TestSRIOVNoVF(t *testing.T) {
	c := newCards(t, "PCI addresses of no VF")
	for _, address := range []string{"0000:ff:1f.7", "0000:00:00.0"} {
		if _, err := c.Find(address); !errors.Is(err, ErrNoVF) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := os.Stat(c.Sys.Path("class/net/" + c.pfs[0])); err != nil {
		t.Error(err)
	}
}
