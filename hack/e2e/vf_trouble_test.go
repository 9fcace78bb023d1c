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

// refusedAttribute: what the card's driver refuses is an event on the pod and the condition of its attachment, with all that
// helps, and the pod does not start.
func (s *scene) refusedAttribute() {
	s.t.Helper()
	spec := vfNetwork("pf0", 400)
	spec.SRIOV.LinkState = "Enable"
	s.network("grey", spec)
	s.must(s.Create(s.ctx, s.vfPod("refused", "grey", 1)))
	const refusal = "set linkState to enable: the driver igb of the PF cannot set it: operation not supported"
	if text := s.waitEventWith("refused", "FailedPrepareDynamicResources", refusal); !strings.Contains(text, "of PF pf0 (0000:") {
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
	s.remove(false, "refused")
	s.waitGone(4*time.Minute, "refused")
}

// dirtiedVF: a VF that somebody changes is tainted when an agent starts, and the Node's events tell why and when it is over.
func (s *scene) dirtiedVF(node string, before guest) {
	s.t.Helper()
	var address string
	for a, vf := range before.vfs {
		if vf.PF == "pf1" && vf.Index == "2" {
			address = a
		}
	}
	vlan := func(id string) {
		s.t.Helper()
		_, err := s.OnNode(s.ctx, node, "ip", "link", "set", "pf1", "vf", "2", "vlan", id)
		s.must(err)
	}
	vlan("7")
	s.killAgent(node)
	s.waitNodeEvent(node, v1alpha1.ReasonVFNotClean, fmt.Sprintf("no pod gets VF 2 of PF pf1 (%s): the vlan is 7", address))
	s.until(time.Minute, "the taint", func(ctx context.Context) error {
		devices, err := s.devices(ctx, node)
		if taints := devices[address].Taints; len(taints) != 1 || taints[0].Value != "the-vlan-is-7" {
			return fmt.Errorf("%s has taints %v (%v)", address, taints, err)
		}
		return err
	})
	vlan("0")
	s.waitNodeEvent(node, v1alpha1.ReasonVFClean, fmt.Sprintf("VF 2 of PF pf1 (%s) is nobody's again", address))
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
