package sandboxes

import (
	"fmt"
	"slices"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// fakeNIC is what the kernel knows of the node's NIC eth1.
type fakeNIC struct {
	// in is the namespace that has it, "" for that of the node; gone tells that none has.
	in   string
	gone bool
	// driver of its hardware, "" for none.
	driver string
	// inUse keeps it from pods, stuck from being what it was.
	inUse, stuck string
	// takes makes its return slow.
	takes  time.Duration
	looked int
	// dirty is what the scheduler is told.
	dirty    string
	mistakes []string
}

func nicState() plan.NICState {
	boot, err := kernel.BootID()
	if err != nil {
		panic(err)
	}
	return plan.NICState{Boot: boot, Interface: "eth1", MAC: plan.HardwareAddr{2, 0, 0, 0, 9, 1}, MTU: 1500, Up: true}
}

func (w *world) NICState(a plan.Attachment) (plan.NICState, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a.HasVF() {
		state := nicState()
		state.Interface = w.vf.state.Interface
		return state, "", nil
	}
	w.nic.looked++
	if slices.ContainsFunc(w.shaper.last(), func(other plan.Attachment) bool {
		return other.Macvlan != nil && other.Device.Uplink == a.HostDevice.Interface
	}) {
		w.nic.mistakes = append(w.nic.mistakes, "queues of others are on the NIC")
	}
	if w.nic.in != "" || w.nic.gone || a.HostDevice.Interface != "eth1" {
		return plan.NICState{}, "", fmt.Errorf("NIC %s is in %q", a.HostDevice.Interface, w.nic.in)
	}
	return nicState(), w.nic.inUse, nil
}

// awaitNIC takes what a driver does.
func (w *world) awaitNIC(attachments []plan.Attachment) {
	if slices.ContainsFunc(attachments, func(a plan.Attachment) bool { return a.HostDevice != nil }) {
		<-time.After(w.seenNIC().takes)
	}
}

// giveBackNIC is called with the lock held.
func (w *world) giveBackNIC(a plan.Attachment) error {
	var cause error
	switch {
	case w.nic.gone:
		cause = fmt.Errorf("NIC eth1: %w", plumb.ErrNICGone)
	case w.nic.stuck != "":
		cause = &plumb.DirtyError{Device: "NIC eth1", Reasons: []string{w.nic.stuck}}
	default:
		w.nic.in = ""
		return nil
	}
	return &attach.Error{Network: a.Network, Interface: a.Interface, Step: attach.StepRestore, Err: cause}
}

// seenNIC returns what is known of the NIC.
func (w *world) seenNIC() fakeNIC {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nic
}

func nicOrder() *v1alpha1.PodNetworkAttachment {
	pna := attachmentOrder()
	pna.Spec.NetworkName, pna.Spec.Type, pna.Spec.Macvlan, pna.Spec.MAC = "whole", v1alpha1.NetworkTypeHostDevice, nil, ""
	pna.Spec.HostDevice = &v1alpha1.HostDeviceSpec{}
	return pna
}

func nicDeleted() *v1alpha1.PodNetworkAttachment { return deleted(nicOrder()) }

func nextNICOrder() *v1alpha1.PodNetworkAttachment { return ofNextPod(nicOrder()) }

func nicRequest() Request {
	r := request
	r.Network = "whole"
	return r
}

func nextNICRequest() Request { return requestOfNextPod(nicRequest()) }

func nicBox() Sandbox {
	b := box
	b.Selection = "whole"
	return b
}
