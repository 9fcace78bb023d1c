package sandboxes

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// failed reports a sandbox that got none of its interfaces.
func failed(sandbox Sandbox, attachments []plan.Attachment, err error) publish.Report {
	r := reportOf(sandbox)
	r.Trouble = err.Error()
	culprit, reason := culpritOf(err)
	var duplicate *duplicateError
	for _, a := range attachments {
		i := publish.Interface{Plan: a, Reason: v1alpha1.ReasonAttachFailed, Message: err.Error()}
		if a.Interface == culprit {
			i.Reason = reasonOf(a, reason)
			if errors.As(err, &duplicate) {
				i.Conflicts = duplicate.Conflicts
			}
		} else if culprit != "" {
			i.Message = fmt.Sprintf("not attached because interface %s of the same pod failed", culprit)
		}
		r.Interfaces = append(r.Interfaces, i)
	}
	return r
}

// reasonOf is the reason of the attachment that is to blame. Overlays have no uplink that could be missing.
func reasonOf(a plan.Attachment, reason string) string {
	if a.Overlay != nil && reason == v1alpha1.ReasonUplinkNotFound {
		return v1alpha1.ReasonAttachFailed
	}
	return reason
}

func culpritOf(err error) (iface, reason string) {
	var path *attach.Error
	var duplicate *duplicateError
	switch {
	case errors.As(err, &duplicate):
		return duplicate.Attachment.Interface, v1alpha1.ReasonDuplicateAddress
	case !errors.As(err, &path):
		return "", ""
	case path.Step == attach.StepUplink:
		return path.Interface, v1alpha1.ReasonUplinkNotFound
	}
	return path.Interface, v1alpha1.ReasonAttachFailed
}

func reportOf(sandbox Sandbox) publish.Report {
	return publish.Report{
		Namespace: sandbox.Namespace, Name: sandbox.Name, UID: sandbox.PodUID,
		SandboxID: sandbox.ID, PrimaryIPs: sandbox.IPs,
	}
}

// publish reports what is in the sandbox. An interface whose uplink has no carrier is in the pod but not ready. What is seen later is
// told later, whoever sees it.
func (k *Keeper) publish(e *entry, made []publish.Interface) {
	k.reporting.Lock()
	defer k.reporting.Unlock()
	r := reportOf(e.Sandbox)
	r.Freed = k.state.emptied(e)
	for _, m := range made {
		m = k.withQoS(e.PodUID, m)
		m.InPod, m.Reason = true, v1alpha1.ReasonAttached
		if !k.hasCarrier(m.Plan) {
			m.Reason = v1alpha1.ReasonUplinkDown
			m.Message = fmt.Sprintf("uplink %s of the node has no carrier", cmp.Or(m.Plan.Device.PF, m.Plan.Device.Uplink))
		}
		r.Interfaces = append(r.Interfaces, m)
	}
	for _, lack := range k.state.lacks(e) {
		r.Trouble = cmp.Or(r.Trouble, lack.Message)
		r.Interfaces = append(r.Interfaces, lack)
	}
	k.Publisher.Publish(r)
}

// hasCarrier takes a VF whose link was set by its Network for one that has what it needs. What CNI plugins use nobody knows, and the
// carrier of a NIC that a pod has only the pod sees.
func (k *Keeper) hasCarrier(a plan.Attachment) bool {
	return a.CNI != nil || a.HostDevice != nil || a.VF != nil && a.VF.Settings.LinkState != "" && a.VF.Settings.LinkState != "auto" || k.Devices.Carrier(a.Device)
}

// told tells whether the API server already has what publish would say of a sandbox that is attached and whose
// uplinks are up. The publisher writes an attachment's status last, so it stands for the pod and the claim too.
func (k *Keeper) told(e *entry, attachments []plan.Attachment) bool {
	byName := map[string]*v1alpha1.PodNetworkAttachment{}
	for _, pna := range k.Attachments.ForPod(e.PodUID) {
		byName[pna.Name] = pna
	}
	for _, a := range attachments {
		pna := byName[a.Name]
		if pna == nil || pna.Status.SandboxID != e.ID || !k.hasCarrier(a) ||
			!meta.IsStatusConditionTrue(pna.Status.Conditions, v1alpha1.AttachmentConditionReady) ||
			a.QoS != nil && !publish.ToldQoS(pna.Status, a.QoS, k.qosReport(a)) {
			return false
		}
	}
	return true
}

// madeOrPlanned returns what the last attach made, or where that was another process's, what it must have made.
func (k *Keeper) madeOrPlanned(e *entry) []publish.Interface {
	if made := k.state.made(e); made != nil {
		return made
	}
	selections, _ := k.state.selections(e) // it is attached, so that they could be read
	attachments, _ := k.state.planned(e.PodUID, selections)
	made := make([]publish.Interface, 0, len(attachments))
	for _, a := range attachments {
		if a.CNI != nil {
			m, _ := k.Plugins.Made(e.Sandbox, a)
			m.Plan = a
			made = append(made, m)
			continue
		}
		made = append(made, publish.Interface{Plan: a, MAC: a.MAC, MTU: a.MTU, Addresses: a.Addresses})
	}
	return made
}

// madeOf joins what was planned and what came of it.
func madeOf(attachments []plan.Attachment, results []attach.Result) []publish.Interface {
	made := make([]publish.Interface, 0, len(results))
	for n, r := range results {
		i := publish.Interface{
			Plan: attachments[n], MAC: plan.HardwareAddr(r.MAC), MTU: r.MTU, Addresses: r.Addresses,
			At: time.Now(), Duration: r.Duration,
		}
		if !i.Plan.HasInterface() {
			i.MAC, i.MTU = i.Plan.MAC, i.Plan.MTU // for the program to set
		}
		made = append(made, i)
	}
	return made
}
