package controllers

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// place puts an attachment that is to be made into the rack of the pod's node. Nothing happens where the Network has no
// racks. Attachments that exist keep the rack that they have.
func (r *PodReconciler) place(ctx context.Context, nodeName string, p *decide.Planned, want *Want) (*decide.Refusal, error) {
	if decide.TopologyKey(p.Network) == "" {
		return nil, nil
	}
	node, err := nodeOrNil(ctx, r.Client, nodeName)
	if err != nil {
		return nil, fmt.Errorf("its node %s: %w", nodeName, err)
	}
	rack, refusal := decide.AttachmentRack(p.Network, node)
	if refusal == nil {
		p.Rack, want.Scope = rack, rack.Rack
	}
	return refusal, nil
}

// placed fills in what the reservation says.
func (r *PodReconciler) placed(key types.NamespacedName, p decide.Planned) decide.Planned {
	if p.Rack == nil {
		return p
	}
	rack, vni := r.Allocator.reservedRack(key)
	p.Rack.Rack = rack
	if p.Rack.Overlay != nil {
		p.Rack.Overlay.VNI = vni
	}
	return p
}

// refusalOf turns what the allocator cannot give into what the pod's owner can do, nil for other errors.
func refusalOf(err error) *decide.Refusal {
	var inRack *rackError
	switch {
	case errors.Is(err, errRackNotServed):
		return &decide.Refusal{Reason: v1alpha1.ReasonRackNotServed, Message: err.Error() +
			"; it has no prefix or no VNI (yet), see racks and the condition RacksServed in the status of the network"}
	case errors.Is(err, ipam.ErrExhausted) && errors.As(err, &inRack):
		return &decide.Refusal{Reason: v1alpha1.ReasonRangeExhausted, Message: err.Error() +
			"; delete pods that use the network in this rack, or let the pod run in another: the racks' prefixes cannot be made larger"}
	case errors.Is(err, ipam.ErrExhausted):
		return &decide.Refusal{Reason: v1alpha1.ReasonRangeExhausted,
			Message: err.Error() + "; delete pods that use the network or add a range to it"}
	}
	return nil
}
