package controllers

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// nic makes the Network one of type HostDevice.
func nic(n *v1alpha1.Network) {
	n.Spec.Type, n.Spec.HostDevice, n.Spec.Macvlan = v1alpha1.NetworkTypeHostDevice, &v1alpha1.HostDeviceSpec{NIC: n.Spec.Macvlan.Uplink}, nil
}

// TestNICsHaveNoMACToKeep: addresses stay with the pods of a name, also over a restart of the operator; MACs stay with the NICs.
func TestNICsHaveNoMACToKeep(t *testing.T) {
	w := newWorld(t)
	stop := w.startManager()
	w.network("whole", nic, sticky(time.Hour))
	first := w.podWithClaim("db-0", "whole")
	before := w.attachments(first)["net1"]
	if other := w.attached(w.pod("db-1", "whole", "node2"), 1)["net1"]; before.Spec.MAC != "" || other.Spec.MAC != "" || before.Spec.HostDevice == nil {
		t.Errorf("%+v beside %+v", before.Spec, other.Spec)
	}
	claim, err := w.kept("db-0", "whole")
	w.must(err)
	if w.reserved(claim.Name); claim.Spec.MAC != "" {
		t.Errorf("claim %+v", claim.Spec)
	}
	w.kill(first)
	stop()
	w.startManager()
	if after := w.attached(w.pod("db-0", "whole", "node2"), 1)["net1"]; addressList(after) != addressList(before) || after.Spec.MAC != "" {
		t.Errorf("%s became %+v", addressList(before), after.Spec)
	}
	w.claim("mine", "whole", "db-2", "02:00:00:00:00:09", "10.20.0.99")
	w.claimIs("mine", metav1.ConditionFalse, v1alpha1.ReasonNetworkNotAccepted)
}

// TestMACForANIC: a definition of the plugin host-device becomes such a Network, on which a pod can ask for a MAC.
func TestMACForANIC(t *testing.T) {
	w := newWorld(t)
	w.adopt("native")
	w.startManager()
	d := w.definition("whole", `{"type": "host-device", "device": "eth1", "ipam": {"type": "whereabouts", "range": "10.20.0.0/24"}}`)
	w.derived(d, "made", func(n *v1alpha1.Network) bool { return n.Spec.HostDevice != nil })
	asked := w.attached(w.inJSON("asked", "whole", `, "mac": "02:00:00:00:00:09"`, "node1"), 1)["net1"]
	if asked.Spec.MAC != "02:00:00:00:00:09" || asked.Spec.Type != v1alpha1.NetworkTypeHostDevice {
		t.Errorf("%+v", asked.Spec)
	}
}
