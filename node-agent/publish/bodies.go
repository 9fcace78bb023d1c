package publish

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// report writes the pod first, since its readiness waits for it, then the claims, then the attachments: an
// attachment that tells of the sandbox thereby says that all of it was written.
func (p *Publisher) report(ctx context.Context, r Report) error {
	errs := []error{p.pod(ctx, r)}
	for _, claimed := range byClaim(r.Interfaces) {
		errs = append(errs, p.claim(ctx, r, claimed))
	}
	for _, claim := range r.Freed {
		errs = append(errs, p.claimStatus(ctx, r, &claim, []any{}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, i := range r.Interfaces {
		errs = append(errs, p.attachment(ctx, r, i))
	}
	return errors.Join(errs...)
}

func (p *Publisher) pod(ctx context.Context, r Report) error {
	status, reason, message := corev1.ConditionTrue, v1alpha1.ReasonAttached, ""
	if !r.attached() {
		status, reason, message = corev1.ConditionFalse, firstReason(r), r.Trouble
	}
	object := map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": metadata(r.Namespace, r.Name, r.UID),
		"status": map[string]any{"conditions": []any{
			p.condition(r.UID, "pod", v1alpha1.PodConditionAttached, string(status), reason, message),
		}},
	}
	annotations, err := annotations(r, p.defaultNetwork)
	if err != nil {
		return fmt.Errorf("annotations of pod %s/%s: %w", r.Namespace, r.Name, err)
	}
	object["metadata"].(map[string]any)["annotations"] = annotations
	return p.apply(ctx, r.UID, target{resource: "pods", namespace: r.Namespace, name: r.Name, status: true}, object)
}

func firstReason(r Report) string {
	for _, i := range r.Interfaces {
		if !i.InPod && i.Reason != v1alpha1.ReasonAttachFailed {
			return i.Reason
		}
	}
	return v1alpha1.ReasonAttachFailed
}

// byClaim are the interfaces in the pod that came by a claim, in one list for each claim.
func byClaim(interfaces []Interface) (lists [][]Interface) {
	of := map[types.UID]int{}
	for _, i := range interfaces {
		if !i.InPod || i.Plan.Claim == nil {
			continue
		}
		n, known := of[i.Plan.Claim.UID]
		if !known {
			n = len(lists)
			of[i.Plan.Claim.UID] = n
			lists = append(lists, nil)
		}
		lists[n] = append(lists[n], i)
	}
	return lists
}

// claim says in the claim's status which interfaces its devices became. All of them stand in one body: an apply takes away what
// its manager applied before and leaves out now.
func (p *Publisher) claim(ctx context.Context, r Report, claimed []Interface) error {
	claim := claimed[0].Plan.Claim
	var devices []any
	for _, i := range claimed {
		devices = append(devices, claimDevice(i))
	}
	return p.claimStatus(ctx, r, claim, devices)
}

func (p *Publisher) claimStatus(ctx context.Context, r Report, claim *plan.Claim, devices []any) error {
	object := map[string]any{
		"apiVersion": resourceapi.SchemeGroupVersion.String(), "kind": "ResourceClaim",
		"metadata": metadata(r.Namespace, claim.Name, claim.UID),
		"status":   map[string]any{"devices": devices},
	}
	return p.apply(ctx, r.UID, target{resource: "resourceclaims", namespace: r.Namespace, name: claim.Name, status: true}, object)
}

// claimDevice tells a shared device from its other shares by the share ID, without which the API server refuses the write.
func claimDevice(i Interface) map[string]any {
	claim := i.Plan.Claim
	device := map[string]any{
		"driver": v1alpha1.DriverName, "pool": claim.Pool, "device": claim.Device,
		"networkData": resourceapi.NetworkDeviceData{
			InterfaceName: i.Plan.Interface, IPs: texts(i.Addresses), HardwareAddress: i.MAC.String(),
		},
	}
	if claim.ShareID != "" {
		device["shareID"] = claim.ShareID
	}
	return device
}

func (p *Publisher) attachment(ctx context.Context, r Report, i Interface) error {
	pna, ok := p.attachments.Get(r.Namespace, i.Plan.Name)
	if !ok || pna.DeletionTimestamp != nil || pna.Spec.Pod.UID != r.UID {
		return nil // it goes: a status would be one write more than anybody reads
	}
	object := map[string]any{
		"apiVersion": v1alpha1.GroupVersion.String(), "kind": "PodNetworkAttachment",
		"metadata": metadata(pna.Namespace, pna.Name, pna.UID),
		"status":   p.attachmentStatus(r, i),
	}
	return p.apply(ctx, r.UID, target{resource: "podnetworkattachments", namespace: pna.Namespace, name: pna.Name, status: true}, object)
}

func (p *Publisher) attachmentStatus(r Report, i Interface) map[string]any {
	ready := metav1.ConditionFalse
	if i.Reason == v1alpha1.ReasonAttached {
		ready = metav1.ConditionTrue
	}
	owner := i.Plan.Name
	conditions := []any{p.condition(r.UID, owner, v1alpha1.AttachmentConditionReady, string(ready), i.Reason, i.Message)}
	status := map[string]any{}
	if i.Plan.Device.Name != "" {
		status["device"] = device(i)
	}
	if q := i.QoS; q != nil && i.Plan.QoS != nil {
		state, reason, message := qosCondition(*q)
		conditions = append(conditions, p.condition(r.UID, owner, v1alpha1.AttachmentConditionQoSEnforced, string(state), reason, message))
		status["qos"] = enforcedQoS(i.Plan.QoS, *q)
	}
	status["conditions"] = conditions
	if len(i.Conflicts) > 0 {
		status["conflicts"] = conflicts(i)
	}
	if i.InPod {
		status["sandboxID"] = r.SandboxID
		status["mac"] = i.MAC.String()
		status["mtu"] = i.MTU
		status["addresses"] = texts(i.Addresses)
		status["attachedAt"] = metav1.NewMicroTime(i.At)
		status["attachDuration"] = metav1.Duration{Duration: i.Duration.Round(time.Microsecond)}
	}
	return status
}

func conflicts(i Interface) []v1alpha1.AddressConflict {
	var found []v1alpha1.AddressConflict
	for _, c := range i.Conflicts {
		found = append(found, v1alpha1.AddressConflict{Address: c.Addr.String(), MAC: c.MAC.String()})
	}
	return found
}

func device(i Interface) v1alpha1.AttachedDevice {
	d, kind := i.Plan.Device, v1alpha1.DeviceKindUplink
	if i.Plan.Overlay != nil {
		kind = v1alpha1.DeviceKindOverlay
	}
	if i.Plan.CNI != nil {
		kind = v1alpha1.DeviceKindCNI
	}
	device := v1alpha1.AttachedDevice{
		Kind: kind, Name: d.Name, Uplink: d.Uplink, PCIAddress: d.PCIAddress,
		PCIeRoot: d.PCIeRoot, Driver: d.Driver, Vendor: d.Vendor, NUMANode: d.NUMANode,
	}
	if cni := i.Plan.CNI; cni != nil && cni.Device != nil {
		device.ResourceName, device.DeviceID = cni.Device.Resource, cni.Device.ID
	}
	if i.Plan.HasVF() {
		index := int32(d.VFIndex) //nolint:gosec // A PF has 65535 VFs at most.
		device.Kind, device.PF, device.VFIndex = v1alpha1.DeviceKindVF, d.PF, &index
	}
	if vf := i.Plan.VF; vf != nil {
		if vf.RDMA {
			device.RDMADevice = d.RDMADevice
		}
		if vf.VFIO {
			device.VFIOGroup = d.IOMMUGroup
		}
	}
	return device
}

func texts(prefixes []netip.Prefix) []string {
	out := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}
