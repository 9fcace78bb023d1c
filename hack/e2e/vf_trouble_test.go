//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// createRefused creates a pod with an attribute that the card's driver refuses.
func (s *scene) createRefused() {
	s.t.Helper()
	spec := vfNetwork("pf1", 400)
	spec.SRIOV.LinkState = "Enable"
	s.network("grey", spec)
	s.must(s.Create(s.ctx, s.vfPod("refused", "grey", 1)))
}

// waitRefused: it is an event on the pod and the condition of its attachment, with all that helps, and the pod does not start.
func (s *scene) waitRefused() {
	s.t.Helper()
	const refusal = "set linkState to enable: the driver igb of the PF cannot set it: operation not supported"
	if text := s.waitEventWith("refused", "FailedPrepareDynamicResources", refusal); !strings.Contains(text, "of PF pf1 (0000:") {
		s.t.Errorf("the event names no VF: %s", text)
	}
	s.until(time.Minute, "the attachment's condition", func(context.Context) error {
		for _, a := range s.attachments("refused") {
			for _, c := range a.Status.Conditions {
				if c.Type == v1alpha1.AttachmentConditionReady && c.Status == metav1.ConditionFalse && strings.Contains(c.Message, refusal) {
					return nil
				}
			}
		}
		return fmt.Errorf("the attachments are %v", s.attachments("refused"))
	})
	s.notReady("refused")
}

// dirtyVF changes a VF that no pod has. The function that it returns is for when another agent has started: the VF has a taint and the
// Node an event, until the VF is as it was.
func (s *scene) dirtyVF(node string, before, now guest) (clean func()) {
	s.t.Helper()
	address, vf := "", virtualFunction{}
	for a, free := range before.vfs {
		if free.PF == "pf0" && now.vfs[a].OnNode && now.vfs[a].vlan == 0 {
			address, vf = a, free
		}
	}
	if address == "" {
		s.t.Fatalf("pods have all VFs: %v", now.vfs)
	}
	vlan := func(id string) {
		s.t.Helper()
		_, err := s.OnNode(s.ctx, node, "ip", "link", "set", vf.PF, "vf", vf.Index, "vlan", id)
		s.must(err)
	}
	vlan("7")
	return func() {
		s.t.Helper()
		name := fmt.Sprintf("VF %s of PF %s (%s)", vf.Index, vf.PF, address)
		s.waitNodeEvent(node, v1alpha1.ReasonVFNotClean, "no pod gets "+name+": the vlan is 7")
		s.until(time.Minute, "the taint", func(ctx context.Context) error {
			devices, err := s.devices(ctx, node)
			if taints := devices[address].Taints; len(taints) != 1 || taints[0].Value != "the-vlan-is-7" {
				return fmt.Errorf("%s has taints %v (%v)", address, taints, err)
			}
			return err
		})
		vlan("0")
		s.waitNodeEvent(node, v1alpha1.ReasonVFClean, name+" is nobody's again")
	}
}

func (s *scene) waitNodeEvent(node, reason, message string) {
	s.t.Helper()
	s.until(time.Minute, "the Node's event "+message, func(ctx context.Context) error {
		var events corev1.EventList
		if err := s.List(ctx, &events, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return err
		}
		for _, e := range events.Items {
			if e.InvolvedObject.Kind == "Node" && e.InvolvedObject.Name == node && e.Reason == reason && e.Message == message {
				return nil
			}
		}
		return fmt.Errorf("there are %d others", len(events.Items))
	})
}
