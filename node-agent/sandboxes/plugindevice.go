package sandboxes

import (
	"context"
	"fmt"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// giveDevice gives CNI plugins the device that they need: the kubelet has allocated the pod's devices when it admitted the pod, long
// before it has claims prepared, so that its answer does not change. The plan keeps it: the hook asks nobody.
func (k *Keeper) giveDevice(ctx context.Context, pod plan.Pod, a plan.Attachment) (plan.Attachment, error) {
	if a.CNI == nil || a.CNI.Device == nil {
		return a, nil
	}
	d := *a.CNI.Device
	ids, err := k.PodDevices.IDs(ctx, pod, d.Resource)
	if err == nil && d.Index >= len(ids) {
		err = fmt.Errorf("it is interface %d of the pod that needs a device of %s, and the kubelet has given %d to the pod's containers: create the pod again with resources.limits[%q]: %d in one of its containers",
			d.Index+1, d.Resource, len(ids), d.Resource, d.Index+1)
	}
	if err != nil {
		return a, k.refuse(pod, a, &attach.Error{Network: a.Network, Interface: a.Interface, Step: attach.StepDevice, Err: err})
	}
	d.ID = ids[d.Index]
	cni := *a.CNI
	cni.Device = &d
	a.CNI = &cni
	a.Device.PCIAddress = d.PCIAddress()
	return a, nil
}
