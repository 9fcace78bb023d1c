package sandboxes

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// prepareLimit is how long Prepare waits. The kubelet gives up after 45 s, and an error costs the pod a minute or
// more until the kubelet tries again, so waiting is better than failing.
const prepareLimit = 40 * time.Second

// Request is one device that a claim of a pod brings which is about to start.
type Request struct {
	Namespace    string
	PodName      string
	PodUID       types.UID
	PodClaimName string
	Claim        plan.Claim
	// Network is the one whose DeviceClass the claim asks for.
	Network string
	// Position of the claim among those of the pod, from 0.
	Position int
}

// unusedAfter is how long Prepare waits before it looks whether the pod selects the claim's network still.
const unusedAfter = 2 * time.Second

// Prepare waits until the operator has ordered the attachment on the device and the runtime is connected, and
// writes the plan to the ledger. After it the pod can start without the API server: the overlays that it is on are there. It
// begins the address probe.
func (k *Keeper) Prepare(ctx context.Context, r Request) error {
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	pna, unused, err := k.orderFor(ctx, r)
	if unused {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pod %s/%s claim %s: no PodNetworkAttachment came: see the pod's condition %s and its events, and whether deployment multinet-operator runs: %w",
			r.Namespace, r.PodName, r.PodClaimName, v1alpha1.PodConditionPlanned, err)
	}
	// The operator has seen to it. This is the last look before a device is used that a forged claim might bring.
	if pna.Spec.NetworkName != r.Network {
		return fmt.Errorf("pod %s/%s claim %s: its device was allocated for network %q and ordered for network %q",
			r.Namespace, r.PodName, r.PodClaimName, r.Network, pna.Spec.NetworkName)
	}
	select {
	case <-k.state.whenSynchronized():
	case <-ctx.Done():
		return fmt.Errorf("pod %s/%s claim %s: %s, without which the pod would start without its networks: see the log of the node agent: %w",
			r.Namespace, r.PodName, r.PodClaimName, k.Door.closed(), ctx.Err())
	}
	if err := k.note(r, pna); err != nil {
		return fmt.Errorf("pod %s/%s claim %s: record what it selects: %w", r.Namespace, r.PodName, r.PodClaimName, err)
	}
	return k.planReady(ctx, pna, &r.Claim)
}

// orderFor waits for the order on a claim's device. A pod that was edited while it ran, and is to start again, may have a claim
// that carries nothing any more; an interface that the claim is to carry later is planned when it is ordered.
func (k *Keeper) orderFor(ctx context.Context, r Request) (_ *v1alpha1.PodNetworkAttachment, unused bool, _ error) {
	soon, cancel := context.WithTimeout(ctx, unusedAfter)
	defer cancel()
	pna, err := k.Attachments.WaitFor(soon, r.PodUID, r.PodClaimName, r.Claim.BaseRequest())
	if err == nil || ctx.Err() != nil {
		return pna, false, err
	}
	edited, err := k.Claims.Edited(ctx, r.Namespace, r.PodName, r.PodUID)
	if err != nil {
		k.Log.Info("it is not known whether the pod was edited", "pod", r.Namespace+"/"+r.PodName, "cause", err.Error())
	}
	if edited && k.Attachments.Listed() {
		return nil, true, nil
	}
	pna, err = k.Attachments.WaitFor(ctx, r.PodUID, r.PodClaimName, r.Claim.BaseRequest())
	return pna, false, err
}

// planReady plans one attachment and waits for the overlay that it is on, and for its class. The plan comes first, or Keep and
// PruneSegments would take the overlay away again.
func (k *Keeper) planReady(ctx context.Context, pna *v1alpha1.PodNetworkAttachment, claim *plan.Claim) error {
	attachment, err := k.planFor(ctx, pna, claim)
	if err != nil {
		return err
	}
	if err := k.ensureOverlays(ctx, pna.Spec.Pod.UID, []plan.Attachment{attachment}); err != nil {
		return err
	}
	k.ensureQoS()
	return nil
}

// planFor plans one attachment and stores it. The claim is nil for attachments without one.
func (k *Keeper) planFor(ctx context.Context, pna *v1alpha1.PodNetworkAttachment, claim *plan.Claim) (plan.Attachment, error) {
	device, err := k.deviceFor(pna, claim)
	if err != nil {
		return plan.Attachment{}, fmt.Errorf("network %q interface %s: %w", pna.Spec.NetworkName, pna.Spec.Interface, err)
	}
	attachment, err := plan.FromAttachment(pna, device, claim)
	if err != nil {
		return plan.Attachment{}, fmt.Errorf("network %q interface %s: plan: %w", pna.Spec.NetworkName, pna.Spec.Interface, err)
	}
	if !attachment.HasInterface() && k.Door == DoorCNI {
		return plan.Attachment{}, fmt.Errorf("network %q interface %s: deviceType VFIO gives containers a device, which needs NRI: the agent serves this node over CNI",
			pna.Spec.NetworkName, pna.Spec.Interface)
	}
	pod := plan.Pod{Namespace: pna.Namespace, Name: pna.Spec.Pod.Name, UID: pna.Spec.Pod.UID}
	if attachment, err = k.giveDevice(ctx, pod, attachment); err != nil {
		return plan.Attachment{}, err
	}
	if attachment.Lent() != "" {
		planned, err := k.planLent(ctx, pod, attachment)
		if err != nil {
			return planned, k.refuse(pod, attachment, err)
		}
		attachment = planned
	} else if err := k.store(pod, attachment); err != nil {
		return plan.Attachment{}, fmt.Errorf("network %q interface %s: write the plan: %w", pna.Spec.NetworkName, pna.Spec.Interface, err)
	}
	if !k.state.uses(pna.Spec.Pod.UID, attachment.Interface) {
		k.probe(pna.Spec.Pod.UID, attachment)
	}
	return attachment, nil
}

func (k *Keeper) deviceFor(pna *v1alpha1.PodNetworkAttachment, claim *plan.Claim) (plan.Device, error) {
	if claim != nil {
		if device, ok := k.Devices.Device(claim.Device); ok {
			return device, nil
		}
		return plan.Device{}, fmt.Errorf("the device %q that the scheduler chose is not on the node any more", claim.Device)
	}
	device, ok := plan.Device{}, false
	switch rack := pna.Spec.RackLocal; {
	case pna.Spec.SRIOV != nil:
		return plan.Device{}, errors.New("the pod has no claim, without which nobody has chosen a virtual function for it: select the network with the annotation " +
			v1alpha1.AnnotationNetworks + " in its plain form")
	case pna.Spec.HostDevice != nil:
		return plan.Device{}, errors.New("the pod has no claim, without which nobody has kept a NIC for it alone: select the network with the annotation " +
			v1alpha1.AnnotationNetworks + " in its plain form")
	case pna.Spec.CNI != nil:
		if device, ok = k.Devices.Device(v1alpha1.CNIDeviceName); !ok {
			return plan.Device{}, errors.New("no CNI plugin may run on the node: see cniPlugins in the agents' configuration")
		}
	case pna.Spec.Macvlan != nil:
		device, ok = k.Devices.Select(pna.Spec.Macvlan.Uplink)
	case rack != nil && rack.Uplink != nil:
		device, ok = k.Devices.Select(rack.Uplink.UplinkSelector)
	case rack != nil && rack.Overlay != nil:
		if device, ok = k.Devices.Overlay(); !ok {
			return plan.Device{}, errors.New("no interface of the node has its InternalIP, over which overlays go")
		}
	}
	if !ok {
		return plan.Device{}, errors.New("no NIC of the node matches the uplink that the Network selects")
	}
	return device, nil
}

// store writes to the ledger before memory: what the hook can use must be there after a crash.
func (k *Keeper) store(pod plan.Pod, attachment plan.Attachment) error {
	k.ledgerMu.Lock()
	defer k.ledgerMu.Unlock()
	if known, ok := k.state.plan(pod.UID); ok {
		pod = known
	}
	pod = withAttachment(pod, attachment)
	if err := k.Ledger.Put(k.withOwed(pod)); err != nil {
		return err
	}
	k.state.setPlan(pod)
	return nil
}

// withOwed is what the ledger has of a pod.
func (k *Keeper) withOwed(pod plan.Pod) plan.Pod {
	pod.Attachments = slices.Concat(pod.Attachments, k.state.owedBy(pod.UID))
	return pod
}
