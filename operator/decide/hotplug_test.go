package decide

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// onNetworks are attachments by interface.
func onNetworks(networks map[string]string) map[string]*v1alpha1.PodNetworkAttachment {
	attached := map[string]*v1alpha1.PodNetworkAttachment{}
	for iface, network := range networks {
		attached[iface] = attachmentOn(iface, network, "")
	}
	return attached
}

func attachmentOn(iface, network, claim string) *v1alpha1.PodNetworkAttachment {
	return &v1alpha1.PodNetworkAttachment{ObjectMeta: metav1.ObjectMeta{Name: "db-0-" + iface},
		Spec: v1alpha1.PodNetworkAttachmentSpec{Interface: v1alpha1.InterfaceName(iface), NetworkName: network, PodClaimName: claim}}
}

// editedPod ran with one selection and has another now. It is attached as it was created.
func editedPod(created, now string) PodSnapshot {
	pod := podSelecting(created)
	pod.Spec.NodeName = "node1"
	pod.Annotations[v1alpha1.AnnotationAtCreation] = created
	pod.Annotations[v1alpha1.AnnotationNetworks] = now
	s := PodSnapshot{Pod: pod, Attached: map[string]*v1alpha1.PodNetworkAttachment{}}
	selections, _ := selection.Parse(created)
	for _, sel := range selections {
		pna := attachmentOn(sel.Interface, sel.Network, sel.PodClaimName)
		if sel.QoSClass != "" {
			pna.Spec.QoS = &v1alpha1.ResolvedQoS{ClassName: sel.QoSClass}
		}
		s.Attached[sel.Interface] = pna
	}
	return s
}

func TestPlanOfAnEditedPod(t *testing.T) {
	gone := metav1.Now()
	gigabit := resource.MustParse("1G")
	networks := map[string]*v1alpha1.Network{
		"storage":  network("storage", allowing("gold", "best")),
		"other":    network("other", allowing("gold", "best")),
		"far":      network("far", func(n *v1alpha1.Network) { n.Spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{"eth9"} }),
		"alone":    network("alone", alone),
		"whole":    network("whole", wholeNIC),
		"limited":  network("limited"),
		"fast":     vfNetwork(func(*v1alpha1.SRIOVSpec) {}),
		"leaving":  network("leaving", func(n *v1alpha1.Network) { n.DeletionTimestamp = &gone }),
		"routed":   network("routed", routing("10.99.0.0/16")),
		"routed2":  network("routed2", routing("10.99.0.0/16")),
		"defaults": network("defaults", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" }),
	}
	for name, n := range networks {
		n.Name = name
	}
	classes := map[string]*v1alpha1.QoSClass{
		"gold": {ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &gigabit}}},
		"best": {ObjectMeta: metav1.ObjectMeta{Name: "best"}, Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Maximum: &gigabit}}},
	}
	for name, c := range map[string]struct {
		s    PodSnapshot
		edit func(PodSnapshot)
		// want is interface=network/claim for each planned attachment, then the refusal's reason.
		want []string
		says []string
		// off are the interfaces that go.
		off []string
	}{
		"added":           {s: editedPod("storage", "storage,other"), want: []string{"net1=storage/multinet-storage-0", "net2=other/"}},
		"added to no one": {s: editedPod("", "other"), want: []string{"net1=other/"}},
		"class without a guarantee": {s: editedPod("storage", "storage,other:best"),
			want: []string{"net1=storage/multinet-storage-0", "net2=other/"}},
		"taken out":      {s: editedPod("storage,other@b", "other@b"), want: []string{"b=other/multinet-other-0"}, off: []string{"net1"}},
		"all taken out":  {s: editedPod("storage,other", ""), off: []string{"net1", "net2"}},
		"position moved": {s: editedPod("storage,other", "other"), want: nil, off: []string{"net1", "net2"}},
		"added again": {s: editedPod("storage,other@b", "storage,other@b"), edit: func(s PodSnapshot) { delete(s.Attached, "b") },
			want: []string{"net1=storage/multinet-storage-0", "b=other/multinet-other-0"}},
		"added again while it goes":                {s: editedPod("storage", "storage"), edit: func(s PodSnapshot) { s.Attached["net1"].DeletionTimestamp = &gone }},
		"another name, by the claim of the former": {s: editedPod("storage@a", "storage@b"), off: []string{"a"}},
		"another name, when the former is gone": {s: editedPod("storage@a", "storage@b"), edit: func(s PodSnapshot) { delete(s.Attached, "a") },
			want: []string{"b=storage/multinet-storage-0"}},
		"one more of a network whose claim is in use": {s: editedPod("storage@a", "storage@a,storage@b"),
			want: []string{"a=storage/multinet-storage-0", "b=storage/"}},
		"second of two, whose number changes": {s: editedPod("storage@a,storage@b", "storage@b"), want: []string{"b=storage/multinet-storage-1"}, off: []string{"a"}},
		"another network under the name":      {s: editedPod("storage@a", "other@a"), off: []string{"a"}},
		"virtual function": {s: editedPod("storage", "storage,fast,other"),
			want: []string{"net1=storage/multinet-storage-0", "net3=other/", v1alpha1.ReasonNeedsScheduling}, says: []string{`network "fast" interface net2`, "a virtual function", "create the pod anew"}},
		"virtual function that the pod had": {s: editedPod("fast", "fast@x"), edit: func(s PodSnapshot) { delete(s.Attached, "net1") }, want: []string{"x=fast/multinet-fast-0"}},
		"guarantee": {s: editedPod("storage", "storage,other:gold"),
			want: []string{"net1=storage/multinet-storage-0", v1alpha1.ReasonNeedsScheduling}, says: []string{`QoSClass "gold" guarantees 1G egress`, "without a guarantee"}},
		"guarantee by default":             {s: editedPod("", "defaults"), want: []string{v1alpha1.ReasonNeedsScheduling}},
		"passthru":                         {s: editedPod("", "alone"), want: []string{v1alpha1.ReasonNeedsScheduling}, says: []string{"Passthru"}},
		"whole NIC":                        {s: editedPod("", "whole"), want: []string{v1alpha1.ReasonNeedsScheduling}, says: []string{"a Network of type HostDevice takes the uplink for one pod"}},
		"quota":                            {s: editedPod("", "limited"), want: []string{v1alpha1.ReasonNeedsScheduling}, says: []string{`ResourceQuota "networks"`}},
		"node without the NIC":             {s: editedPod("", "far,other"), want: []string{"net2=other/", v1alpha1.ReasonNotOnNode}, says: []string{`node "node1"`}},
		"beside a network that is leaving": {s: editedPod("leaving", "leaving,other"), want: []string{"net1=leaving/multinet-leaving-0", "net2=other/"}},
		"a network that is leaving":        {s: editedPod("storage", "storage,leaving"), want: []string{"net1=storage/multinet-storage-0", v1alpha1.ReasonNetworkDeleting}},
		"unknown network":                  {s: editedPod("storage", "storage,absent"), want: []string{"net1=storage/multinet-storage-0", v1alpha1.ReasonUnknownNetwork}},
		"the first refusal is told":        {s: editedPod("", "absent,fast"), want: []string{v1alpha1.ReasonUnknownNetwork}},
		"route of one that is there": {s: editedPod("routed@b", "routed2,routed@b"),
			want: []string{"b=routed/multinet-routed-0", v1alpha1.ReasonRouteConflict}},
		"another class": {s: editedPod("storage:gold", "storage:best"), want: []string{v1alpha1.ReasonQoSClassNotAllowed},
			says: []string{"net1 has QoSClass gold, and the pod now selects best", "take the element out"}},
		"no class any more":     {s: editedPod("storage:gold", "storage"), want: []string{v1alpha1.ReasonQoSClassNotAllowed}, says: []string{"has QoSClass gold, and the pod now selects none"}},
		"a claim of the user's": {s: editedPod("storage", "storage,claim=pair/vf"), want: []string{"net1=storage/multinet-storage-0", v1alpha1.ReasonUnsupportedPod}},
		"the scheduler's choice": {s: editedPod("storage", "storage,class=best,other"),
			want: []string{"net1=storage/multinet-storage-0", "net3=other/", v1alpha1.ReasonNeedsScheduling}, says: []string{`network of class "best" interface net2`, "select a network by its name"}},
		"beside the scheduler's choice": {s: editedPod("", "class=best@a,storage"), edit: func(s PodSnapshot) {
			s.Attached["a"] = attachmentOn("a", "other", "multinet--best-0")
			s.Attached["a"].Spec.Choice, s.Attached["a"].Spec.QoS = &v1alpha1.NetworkChoice{}, &v1alpha1.ResolvedQoS{ClassName: "best"}
		}, want: []string{"a=other/multinet--best-0", "net2=storage/"}},
		"malformed": {s: editedPod("storage", "Storage"), want: []string{v1alpha1.ReasonMalformedSelection}},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.Networks, c.s.QoSClasses = networks, classes
			c.s.Slices = []resourcev1.ResourceSlice{slice("node1", "eth1", 1, ""), slice("node2", "eth9", 1, "")}
			c.s.Quotas = []corev1.ResourceQuota{{ObjectMeta: metav1.ObjectMeta{Name: "networks"},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"limited.multinet.dev.deviceclass.resource.k8s.io/devices": gigabit}}}}
			if c.edit != nil {
				c.edit(c.s)
			}
			var off []string
			for _, pna := range c.s.Unselected() {
				off = append(off, string(pna.Spec.Interface))
			}
			if diff := cmp.Diff(c.off, off); diff != "" {
				t.Errorf("interfaces that go (-want +got):\n%s", diff)
			}
			planned, refusal := Plan(c.s)
			var got []string
			for _, p := range planned {
				got = append(got, p.Selection.Interface+"="+p.Network.Name+"/"+p.Selection.PodClaimName)
			}
			if refusal != nil {
				got = append(got, refusal.Reason)
				refusal.mustSay(t, c.says)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("planned (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAttachmentWithoutAClaim: the node's agent chooses the device.
func TestAttachmentWithoutAClaim(t *testing.T) {
	s := editedPod("", "other")
	pna := Attachment(s.Pod, Planned{Selection: selection.Selection{Network: "other", Interface: "net1"}, Network: network("other")}, nil)
	if pna.Spec.PodClaimName != "" || pna.Spec.Request != "" || pna.Spec.Detach {
		t.Errorf("claim %q, request %q, detach %t", pna.Spec.PodClaimName, pna.Spec.Request, pna.Spec.Detach)
	}
}
