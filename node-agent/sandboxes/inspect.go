package sandboxes

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// inspect keeps VFs from pods that are in use or were left dirty by somebody, of which no plan tells. It runs at the start and
// when devices change, and on a tick for those that were found so, since nothing tells when they are made right.
func (k *Keeper) inspect() {
	k.inspecting.Lock()
	defer k.inspecting.Unlock()
	for _, device := range k.Devices.VFs() {
		if err := k.inspectOne(device); err != nil {
			k.Log.Info("VF was not looked at", "vf", device.PCIAddress, "pf", device.PF, "cause", err.Error())
		}
	}
}

func (k *Keeper) inspectOne(device plan.Device) error {
	a := plan.Attachment{Device: device, VF: &plan.VF{PCIAddress: device.PCIAddress, PF: device.PF, Index: device.VFIndex}}
	unlock, err := k.lentLocks.lock(k.base, a)
	if err != nil {
		return err
	}
	defer unlock()
	if k.state.owes(device.PCIAddress) {
		return nil // restore tells of it
	}
	reason := ""
	if _, _, taken := k.state.holderOf(device.PCIAddress, planned{}); !taken {
		now, err := k.Path.VFState(a)
		if errors.Is(err, plumb.ErrNoVF) {
			return nil // the device goes as well
		}
		if err != nil {
			return err
		}
		reason = unclean(now)
	}
	if !k.Devices.SetDirty(device.PCIAddress, labelValue(reason)) {
		return nil
	}
	vf := fmt.Sprintf("VF %d of PF %s (%s)", device.VFIndex, device.PF, device.PCIAddress)
	if reason == "" {
		k.TellNode(v1alpha1.ReasonVFClean, vf+" is nobody's again")
		return nil
	}
	k.Log.Info("VF is not offered to pods", "vf", device.PCIAddress, "pf", device.PF, "cause", reason)
	k.TellNode(v1alpha1.ReasonVFNotClean, "no pod gets "+vf+": "+reason)
	return nil
}

// unclean tells what of a VF that no plan has can only be somebody's work: its own driver and settings like trust may be meant
// by whoever made the node. It is empty where there is nothing.
func unclean(now plan.VFState) string {
	switch {
	case now.Driver == plumb.VFIODriver:
		return "the driver is vfio-pci: a program may have the VF"
	case now.Driver != "" && now.Interface == "":
		return "the interface is on the node no more: it is in some network namespace, or the driver " + now.Driver + " makes none"
	case now.Alias == plumb.VFMark:
		return "the interface has the mark of a pod's"
	case now.VLAN != 0:
		return fmt.Sprintf("the vlan is %d", now.VLAN)
	case now.AdminMAC != plan.NoMAC && now.Interface != "" && now.AdminMAC != now.MAC:
		return fmt.Sprintf("the PF expects the MAC %s and the interface has %s", now.AdminMAC, now.MAC)
	}
	return ""
}

// shortReason is the first thing that is wrong with a device.
func shortReason(err error) string {
	var dirty *plumb.DirtyError
	if errors.As(err, &dirty) && len(dirty.Reasons) > 0 {
		return labelValue(dirty.Reasons[0])
	}
	return labelValue("not restored")
}

var notInLabel = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// labelValue makes a clause fit for the value of a taint, at most 63 letters.
func labelValue(clause string) string {
	value := notInLabel.ReplaceAllString(clause, "-")
	return strings.Trim(value[:min(len(value), 63)], "-_.")
}
