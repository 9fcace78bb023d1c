package attach

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

var vfSteps = []Step{StepUplink, StepVF, StepLink, StepUp, StepAddresses, StepRoutes, StepDone}

// vfWorld is a node with a real network card, whose VF becomes net1 of a pod beside a macvlan net2.
type vfWorld struct {
	*world
	address string
	before  plan.VFState
}

func newVFWorld(t *testing.T, index int) *vfWorld {
	pf := kerneltest.RequirePFs(t, 1, "VFs of pods")[0]
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	w := &vfWorld{world: &world{t: t, node: node, machine: kerneltest.Namespace(t, "machine")}, address: kerneltest.VF(t, node, pf, index)}
	kerneltest.Cable(t, node, "cable2", w.machine, "far2")
	t.Cleanup(func() { kerneltest.Remove(t, node, "cable2") })
	w.attacher = w.newAttacher()
	w.before, err = w.attacher.VFState(w.fast())
	w.must(err)
	if w.before.Driver != "igbvf" || w.before.VLAN != 0 {
		t.Fatalf("VF %s is not clean at the start: %+v", w.address, w.before)
	}
	return w
}

func (w *vfWorld) newAttacher() *Attacher { return New(Options{}) }

// fast is the plan for the VF. It asks for no trust, so that its driver must be bound anew for its MAC.
func (w *vfWorld) fast() plan.Attachment {
	p := storage()
	p.Macvlan, p.Device.Uplink = nil, ""
	vlan, qos, off := 100, 3, false
	p.VF = &plan.VF{PCIAddress: w.address, Settings: plan.VFSettings{VLAN: &vlan, VLANQoS: &qos, SpoofCheck: &off}}
	before := w.before
	p.Before = &before
	return p
}

func (w *vfWorld) slow() plan.Attachment {
	p := backup()
	p.Device.Uplink = "cable2"
	return p
}

func (w *vfWorld) both() []plan.Attachment { return []plan.Attachment{w.fast(), w.slow()} }

func (w *vfWorld) wantClean() {
	w.t.Helper()
	now, err := w.attacher.VFState(w.fast())
	w.must(err)
	if differences := w.before.Differences(now); len(differences) > 0 {
		w.t.Fatalf("VF %s is dirty: %q", w.address, differences)
	}
}

// A VF that is known by its PCI address alone is moved as it is: its PF is told nothing, and it has its own MAC.
func TestSRIOVHostDevice(t *testing.T) {
	w := newVFWorld(t, 6)
	pod := w.pod()
	empty := w.state(pod)
	p := w.fast()
	p.VF, p.Before, p.MAC, p.HostDevice = nil, nil, nil, &plan.HostDevice{}
	p.Device = plan.Device{PCIAddress: w.address, PF: "pf"}
	state, inUse, err := w.attacher.NICState(p)
	w.must(err)
	if inUse != "" || state.Interface != w.before.Interface || state.MAC.String() != w.before.MAC {
		t.Fatalf("the VF is %+v, in use %q", state, inUse)
	}
	p = p.WithNICState(&state)
	if results := w.attach(pod, p); results[0].MAC.String() != w.before.MAC || results[0].MTU != 1400 {
		t.Errorf("results %+v", results)
	}
	w.check(pod, p)
	if _, inUse, err := w.attacher.NICState(p); err != nil || inUse != "it has no interface on the node, since no driver has it or one that makes none" {
		t.Errorf("while the pod has it: %q, %v", inUse, err)
	}
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantState(pod, empty)
	w.wantClean()
}

// A VF and a macvlan link are attached, checked, attached again, repaired and detached in one go.
func TestSRIOVAttach(t *testing.T) {
	w := newVFWorld(t, 0)
	pod := w.pod()
	empty := w.state(pod)
	w.must(w.attacher.ConfigureVF(t.Context(), w.fast()))
	results := w.attach(pod, w.both()...)
	if len(results) != 2 || results[0].MAC.String() != w.fast().MAC.String() || results[0].MTU != 1400 || results[0].Interface != "net1" {
		t.Errorf("results %+v", results)
	}
	w.check(pod, w.both()...)
	w.wantQuiet(pod, "net1")
	full := w.state(pod)
	w.attach(pod, w.both()...)
	w.wantState(pod, full)
	other, priority := w.fast(), 5
	other.VF.Settings.VLANQoS = &priority
	_, err := w.attacher.QualifyVF(other)
	w.must(err)
	if err := w.attacher.Check(t.Context(), pod.Path(), w.both()); err == nil || !strings.HasSuffix(err.Error(), "has another vlanQoS for VF 0 than 3") {
		t.Errorf("check of settings that somebody changed: %v", err)
	}
	w.attach(pod, w.both()...)
	w.check(pod, w.both()...)
	kerneltest.SetDown(t, pod, "net1")
	kerneltest.Rename(t, pod, "net1", "other")
	if err := w.attacher.Check(t.Context(), pod.Path(), w.both()); err == nil || !strings.HasSuffix(err.Error(), "interface net1: check: the interface is missing") {
		t.Errorf("check: %v", err)
	}
	w.attach(pod, w.both()...)
	w.check(pod, w.both()...)
	w.must(w.attacher.Detach(t.Context(), pod.Path(), w.both()))
	w.wantState(pod, empty)
	w.wantClean()
	w.must(w.attacher.Detach(t.Context(), pod.Path(), w.both()))
	w.wantClean()
}

// A step that fails leaves the pod as it was, and a clean VF; a pod that has its VF keeps it.
func TestSRIOVUndo(t *testing.T) {
	w := newVFWorld(t, 1)
	boom := errors.New("boom")
	for i := range len(vfSteps) {
		for _, iface := range []string{"net1", "net2"} {
			pod, s := w.pod(), vfSteps[i]
			if iface == "net2" && s == StepVF {
				continue
			}
			empty := w.state(pod)
			a := w.newAttacher()
			a.before = at(iface, s, func() error { return boom })
			if _, err := a.Attach(t.Context(), pod.Path(), w.both()); !errors.Is(err, boom) {
				t.Fatalf("%s of %s: error %v", s, iface, err)
			}
			w.wantState(pod, empty)
			w.wantClean()
		}
	}
	pod := w.pod()
	w.attach(pod, w.fast())
	full := w.state(pod)
	a := w.newAttacher()
	a.before = at("net2", StepUp, func() error { return boom })
	if _, err := a.Attach(t.Context(), pod.Path(), w.both()); !errors.Is(err, boom) {
		t.Errorf("error %v", err)
	}
	w.wantState(pod, full)
	w.must(w.attacher.RemoveLinks(t.Context(), pod.Path(), w.both()))
	w.wantClean()
}

const killedVF = "MULTINET_TEST_KILLED_VF"

// Another process attaches and kills itself at each step. This one finishes what it began, or cleans up after it; it has
// the namespace, or it is gone.
func TestSRIOVKilled(t *testing.T) {
	w := newVFWorld(t, 2)
	for i, s := range append(vfSteps, vfSteps...) {
		t.Run(fmt.Sprintf("%d/%s", i, s), func(t *testing.T) {
			w.t = t
			pod := w.pod()
			child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSRIOVKilledChild$")
			child.Env = append(os.Environ(), killedVF+"="+string(s)+","+pod.Path())
			output, err := child.CombinedOutput()
			if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				t.Fatalf("the child was not killed: %v\n%s", err, output)
			}
			switch i % 3 {
			case 0:
				w.attach(pod, w.fast())
				w.check(pod, w.fast())
			case 1:
				w.must(pod.Close())
				w.must(kerneltest.RemoveNamespace(pod.Path()))
			}
			w.must(w.attacher.RemoveLinks(t.Context(), pod.Path(), []plan.Attachment{w.fast()}))
			w.wantClean()
		})
	}
}

func TestSRIOVKilledChild(t *testing.T) {
	s, path, ok := strings.Cut(os.Getenv(killedVF), ",")
	if !ok {
		return // not a child
	}
	w := newVFWorldOfChild(t)
	w.attacher.before = at("net1", Step(s), func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	_, err := w.attacher.Attach(t.Context(), path, []plan.Attachment{w.fast()})
	t.Fatalf("the child was not killed, and attached with error %v", err)
}

func newVFWorldOfChild(t *testing.T) *vfWorld {
	pf := kerneltest.RequirePFs(t, 1, "VFs of pods")[0]
	node, err := kernel.OpenNode()
	if err != nil {
		t.Fatal(err)
	}
	w := &vfWorld{world: &world{t: t, node: node, attacher: New(Options{})}, address: kerneltest.VF(t, node, pf, 2)}
	w.before, err = w.attacher.VFState(w.fast())
	w.must(err)
	return w
}

// A program of the pod drives the VF: there is no interface, and the VF comes back.
func TestSRIOVVFIO(t *testing.T) {
	w := newVFWorld(t, 3)
	pod, p := w.pod(), w.fast()
	p.VF.VFIO = true
	empty := w.state(pod)
	results := w.attach(pod, p)
	if len(results) != 1 || len(results[0].Addresses) != len(p.Addresses) || results[0].IfIndex != 0 {
		t.Errorf("results %+v", results)
	}
	w.check(pod, p)
	w.wantState(pod, empty)
	w.must(w.attacher.Announce(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantClean()
	if err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{p}); err == nil || !strings.HasSuffix(err.Error(), `is "igbvf" instead of vfio-pci`) {
		t.Errorf("check: %v", err)
	}
}

// Somebody takes the VFs away under a pod: there is nothing to release, and what comes back is as the driver made it.
func TestSRIOVNumberChangedUnderneath(t *testing.T) {
	w := newVFWorld(t, 5)
	pf := kerneltest.RequirePFs(t, 1, "VFs of pods")[0]
	pod := w.pod()
	w.attach(pod, w.both()...)
	numvfs := "class/net/" + pf + "/device/sriov_numvfs"
	w.must(kernel.Sys("").Write(numvfs, "0"))
	if err := w.attacher.Check(t.Context(), pod.Path(), w.both()); err == nil || !strings.Contains(err.Error(), "the node has no such VF: sriov_numvfs of its PF was changed") {
		t.Errorf("check: %v", err)
	}
	if _, err := w.attacher.Attach(t.Context(), pod.Path(), w.both()); !errors.Is(err, plumb.ErrNoVF) {
		t.Errorf("attach: %v", err)
	}
	w.must(w.attacher.RemoveLinks(t.Context(), pod.Path(), w.both()))
	w.must(kernel.Sys("").Write(numvfs, "7"))
	now, err := w.attacher.VFState(w.fast())
	w.must(err)
	if now.VLAN != 0 || now.VLANQoS != 0 || !now.SpoofCheck || now.Alias != "" || now.Driver != "igbvf" {
		t.Errorf("after it came back it is %+v", now)
	}
	// An agent that heard of none of it releases too.
	w.must(w.attacher.GiveBack(t.Context(), pod.Path(), w.both()))
	w.wantClean()
}

// After another boot VFs are new, and what a plan knows is of others: nothing is made so again, and the plan is of use when it
// knows the new one.
func TestSRIOVAfterAnotherBoot(t *testing.T) {
	w := newVFWorld(t, 6)
	pod, p := w.pod(), w.fast()
	p.Before.Boot, p.Before.VLAN, p.Before.Interface = "another", 42, "former"
	w.must(w.attacher.GiveBack(t.Context(), "", []plan.Attachment{p}))
	w.wantClean()
	if needs, err := NeedsRecord(p); !needs || err != nil {
		t.Errorf("a plan of another boot is taken: %v, %v", needs, err)
	}
	state, err := w.attacher.VFState(p)
	w.must(err)
	p.Before = &state
	w.attach(pod, p)
	w.check(pod, p)
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{p}))
	w.wantClean()
}

func TestSRIOVRefusals(t *testing.T) {
	w := newVFWorld(t, 4)
	pod := w.pod()
	for name, test := range map[string]struct {
		change func(*plan.Attachment)
		step   Step
		want   error
	}{
		"nothing is written down":    {func(p *plan.Attachment) { p.Before = nil }, StepVF, errNotRecorded},
		"written down before a boot": {func(p *plan.Attachment) { p.Before.Boot = "another" }, StepVF, errNotRecorded},
		"no such VF":                 {func(p *plan.Attachment) { p.VF.PCIAddress = "0000:ff:00.0" }, StepUplink, plumb.ErrNoVF},
		"link state":                 {func(p *plan.Attachment) { p.VF.Settings.LinkState = "enable" }, StepVF, unix.EOPNOTSUPP},
		"MTU":                        {func(p *plan.Attachment) { p.MTU = 65000 }, StepLink, unix.EINVAL},
		"no RDMA":                    {func(p *plan.Attachment) { p.VF.RDMA = true }, StepLink, plumb.ErrNoRDMA},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			p := w.fast()
			test.change(&p)
			empty := w.state(pod)
			_, err := w.attacher.Attach(t.Context(), pod.Path(), []plan.Attachment{p})
			var failed *Error
			if !errors.As(err, &failed) || failed.Step != test.step || !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v in step %q", err, test.want, test.step)
			}
			w.wantState(pod, empty)
			w.wantClean()
		})
	}
}
