package attach

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// nicWorld is a node whose NIC eth1 becomes net1 of a pod beside a macvlan net2.
type nicWorld struct {
	*world
	before plan.NICState
}

func newNICWorld(t *testing.T) *nicWorld {
	w := &nicWorld{world: newWorld(t)}
	kerneltest.Address(t, w.machine, "far1", "10.20.0.1/24")
	kerneltest.Address(t, w.machine, "far1", "fd00:20::1/64")
	w.before = w.now()
	return w
}

func (w *nicWorld) now() plan.NICState {
	w.t.Helper()
	state, inUse, err := w.attacher.NICState(w.unrecorded())
	w.must(err)
	if inUse != "" {
		w.t.Fatalf("the NIC is in use: %s", inUse)
	}
	return state
}

func (w *nicWorld) unrecorded() plan.Attachment {
	p := storage()
	p.MAC, p.Macvlan = nil, nil
	p.HostDevice = &plan.HostDevice{Interface: "eth1"}
	return p
}

func (w *nicWorld) whole() plan.Attachment { return w.unrecorded().WithNICState(&w.before) }

func (w *nicWorld) both() []plan.Attachment { return []plan.Attachment{w.whole(), backup()} }

func (w *nicWorld) wantHome() {
	w.t.Helper()
	if diff := cmp.Diff(w.before, w.now()); diff != "" {
		w.t.Fatalf("the NIC differs from before (-before +now):\n%s", diff)
	}
}

// A NIC and a macvlan link are attached, carry data, are attached again, repaired and detached in one go.
func TestHostDevice(t *testing.T) {
	w := newNICWorld(t)
	pod := w.pod()
	empty := w.state(pod)
	results := w.attach(pod, w.both()...)
	if len(results) != 2 || results[0].MAC.String() != w.before.MAC.String() || results[0].MTU != 1400 || results[0].Interface != "net1" {
		t.Errorf("results %+v", results)
	}
	w.check(pod, w.both()...)
	var listener net.Listener
	kerneltest.Inside(t, pod, func() (err error) { listener, err = net.Listen("tcp4", "10.20.0.5:80"); return err })
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			_, _ = conn.Write([]byte("hello"))
			_ = conn.Close()
		}
	}()
	var conn net.Conn
	kerneltest.Inside(t, w.machine, func() (err error) { conn, err = net.DialTimeout("tcp4", "10.20.0.5:80", 5*time.Second); return err })
	if text, err := io.ReadAll(conn); err != nil || string(text) != "hello" {
		t.Errorf("read %q, %v", text, err)
	}
	_ = conn.Close()
	full := w.state(pod)
	w.attach(pod, w.both()...)
	w.wantState(pod, full)
	kerneltest.SetDown(t, pod, "net1")
	if err := w.attacher.Check(t.Context(), pod.Path(), w.both()); err == nil || !strings.HasSuffix(err.Error(), "interface net1: check: the interface is down") {
		t.Errorf("check of a NIC that is down: %v", err)
	}
	kerneltest.Rename(t, pod, "net1", "other")
	if err := w.attacher.Check(t.Context(), pod.Path(), w.both()); err == nil || !strings.HasSuffix(err.Error(), "interface net1: check: the interface is missing") {
		t.Errorf("check of a NIC with another name: %v", err)
	}
	w.attach(pod, w.both()...)
	w.check(pod, w.both()...)
	w.must(w.attacher.ReleaseAddresses(t.Context(), pod.Path(), w.both()))
	if left := w.state(pod).Addresses; len(left) != len(empty.Addresses) {
		t.Errorf("addresses %v are left", left)
	}
	w.must(w.attacher.RemoveLinks(t.Context(), pod.Path(), w.both()))
	w.wantState(pod, empty)
	w.wantHome()
	w.must(w.attacher.Detach(t.Context(), pod.Path(), w.both()))
	w.wantHome()
}

// A sandbox that ended without a word left the NIC as it was in there; the next one of the pod gets it as the node had it.
func TestHostDeviceFromFormerSandbox(t *testing.T) {
	w := newNICWorld(t)
	p := w.whole()
	p.MTU = 0
	former := w.pod()
	w.attach(former, p)
	kerneltest.SetDown(t, former, "net1")
	kerneltest.SetMTU(t, former, "net1", 1300)
	link, err := former.Handle().LinkByName("net1")
	w.must(err)
	w.must(former.Handle().LinkSetNsFd(link, w.node.FD()))
	pod := w.pod()
	if results := w.attach(pod, p); results[0].MTU != 1500 {
		t.Errorf("results %+v", results)
	}
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantHome()
}

// The pod may ask for another MAC; the NIC has its own again afterwards.
func TestHostDeviceWithMAC(t *testing.T) {
	w := newNICWorld(t)
	pod := w.pod()
	p := w.whole()
	p.MAC = plan.HardwareAddr{2, 0, 0, 0, 1, 5}
	if results := w.attach(pod, p); results[0].MAC.String() != "02:00:00:00:01:05" {
		t.Errorf("results %+v", results)
	}
	if err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{w.whole()}); err == nil || !strings.Contains(err.Error(), "the MAC is 02:00:00:00:01:05 instead of "+w.before.MAC.String()) {
		t.Errorf("check: %v", err)
	}
	w.must(w.attacher.GiveBack(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantHome()
}

// An attach that fails at any step leaves the NIC on the node and the pod as it was.
func TestHostDeviceUndone(t *testing.T) {
	w := newNICWorld(t)
	pod := w.pod()
	empty := w.state(pod)
	boom := errors.New("boom")
	for _, network := range []string{"storage", "backup"} {
		for _, at := range []Step{StepNIC, StepUplink, StepLink, StepUp, StepAddresses, StepRoutes, StepDone} {
			fails := false
			w.attacher.before = func(n, _ string, s Step) error {
				if fails = n == network && s == at; fails {
					return boom
				}
				return nil
			}
			_, err := w.attacher.Attach(t.Context(), pod.Path(), w.both())
			w.attacher.before = nil
			isStep := network == "backup" && at != StepNIC || network == "storage" && at != StepUplink && at != StepLink
			if isStep != errors.Is(err, boom) {
				t.Errorf("%s, %s: %v", network, at, err)
			}
			if err == nil {
				w.must(w.attacher.Detach(t.Context(), pod.Path(), w.both()))
			}
			w.wantState(pod, empty)
			w.wantHome()
		}
	}
}

func TestHostDeviceRefused(t *testing.T) {
	w := newNICWorld(t)
	pod := w.pod()
	refused := func(p plan.Attachment, want string) {
		t.Helper()
		_, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
	refused(w.unrecorded(), `network "storage" interface net1: take NIC: what the device was before is not written down`)
	taken := w.whole()
	taken.Interface = "eth0"
	refused(taken, "the pod already has an interface of this name that is not Multinet's: choose another")
	gone := w.whole()
	gone.HostDevice.Interface = "eth9"
	refused(gone, "take NIC: NIC eth9: the NIC is neither on the node nor in the pod")
	if _, _, err := w.attacher.NICState(gone); err == nil || !strings.Contains(err.Error(), "take NIC: NIC eth9: the node has no such interface") {
		t.Errorf("state: %v", err)
	}
	w.wantHome()
}

// Only a NIC whose hardware is gone, or that has none, is given up.
func TestHostDeviceThatDoesNotComeBack(t *testing.T) {
	w := newNICWorld(t)
	sys := t.TempDir()
	w.attacher.sys = kernel.Sys(sys)
	w.must(os.MkdirAll(sys+"/bus/pci/devices/0000:3b:00.1", 0o700))
	pod := w.pod()
	p := w.whole()
	w.attach(pod, p)
	kerneltest.Remove(t, pod, "net1")
	for address, want := range map[string]string{
		"": plumb.ErrNICGone.Error(), "0000:3b:00.2": plumb.ErrNICGone.Error(), "0000:3b:00.1": "NIC eth1 is not clean: it has not come back to the node",
	} {
		p.Device.PCIAddress = address
		if err := w.attacher.GiveBack(t.Context(), pod.Path(), []plan.Attachment{p}); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("PCI address %q: %v, want %s", address, err, want)
		}
	}
}

// The segment of a NIC that is up is asked from the node.
func TestHostDeviceProbe(t *testing.T) {
	w := newNICWorld(t)
	p := w.whole()
	p.Addresses = prefixes("10.20.0.1/24")
	conflicts, err := w.attacher.Probe(t.Context(), p)
	if err != nil || len(conflicts) != 1 || conflicts[0].MAC.String() != kerneltest.MAC(t, w.machine, "far1").String() {
		t.Errorf("conflicts %+v, %v", conflicts, err)
	}
	down := w.before
	down.Up = false
	if conflicts, err := w.attacher.Probe(t.Context(), p.WithNICState(&down)); err != nil || conflicts != nil {
		t.Errorf("of a NIC that is down: %+v, %v", conflicts, err)
	}
}
