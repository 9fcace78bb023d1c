package decide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func network(name string, edits ...func(*v1alpha1.Network)) *v1alpha1.Network {
	n := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "network-uid"}, Spec: v1alpha1.NetworkSpec{
		Type:    v1alpha1.NetworkTypeMacvlan,
		Macvlan: &v1alpha1.MacvlanSpec{Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{"eth1"}}, Mode: v1alpha1.MacvlanModeBridge},
		IPAM:    &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{{CIDR: "10.20.0.0/24", Gateway: "10.20.0.1"}, {CIDR: "fd00:20::/64"}}},
	}}
	for _, edit := range edits {
		edit(n)
	}
	return n
}

func podSelecting(selection string, edits ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db-0", UID: "pod-uid",
		Annotations: map[string]string{v1alpha1.AnnotationNetworks: selection}}}
	for _, s := range Selected(p) {
		template := v1alpha1.ClaimTemplateName(s.Network, s.QoSClass)
		if s.ByClass() {
			template = v1alpha1.ClassTemplateName(s.QoSClass)
		}
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: s.PodClaimName, ResourceClaimTemplateName: &template})
	}
	for _, edit := range edits {
		edit(p)
	}
	return p
}

// mustSay fails the test for each part that is not in the message.
func (r *Refusal) mustSay(t *testing.T, parts []string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(r.Message, part) {
			t.Errorf("message\n%s\ndoes not say\n%s", r.Message, part)
		}
	}
}

func TestPlan(t *testing.T) {
	gone := metav1.Now()
	networks := map[string]*v1alpha1.Network{
		"storage":   network("storage", allowing("gold", "silver", "ending")),
		"plain":     network("plain"),
		"open":      network("open", allowing("*")),
		"classy":    network("classy", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" }),
		"ending":    network("ending", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "ending" }),
		"classless": network("classless", allowing("gold"), func(n *v1alpha1.Network) { n.Spec.QoSClassName = "absent" }),
		"leaving":   network("leaving", func(n *v1alpha1.Network) { n.DeletionTimestamp = &gone }),
		"broken":    network("broken", func(n *v1alpha1.Network) { n.Spec.IPAM.Ranges[0].Start = "10.99.0.0" }),
		"restricted": network("restricted", func(n *v1alpha1.Network) {
			n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "db"}}
		}),
		"routed":  network("routed", routing("10.99.0.0/16", "fd99::/48")),
		"routed2": network("routed2", routing("fd99::/48")),
		"nobody": network("nobody", func(n *v1alpha1.Network) {
			n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "none"}}
		}),
	}
	classes := map[string]*v1alpha1.QoSClass{
		"gold":   {ObjectMeta: metav1.ObjectMeta{Name: "gold"}},
		"ending": {ObjectMeta: metav1.ObjectMeta{Name: "ending", DeletionTimestamp: &gone}},
	}
	cases := map[string]struct {
		pod *corev1.Pod
		// attached are Networks by interface.
		attached map[string]string
		// want is interface=network/class for each planned attachment, or the refusal's reason.
		want []string
		says []string
	}{
		"nothing selected":      {pod: podSelecting(" ")},
		"several, with classes": {pod: podSelecting("storage, storage@data:gold, classy"), want: []string{"net1=storage/", "data=storage/gold", "net3=classy/gold"}},
		"annotation added later": {pod: podSelecting("storage", func(p *corev1.Pod) { p.Spec.ResourceClaims = nil }),
			want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{`network "storage" interface net1`, "create it again"}},
		"class added later": {pod: podSelecting("storage", func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationNetworks] = "storage:gold" }),
			want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{"create it again"}},
		"two networks to one destination": {pod: podSelecting("routed,routed2"),
			want: []string{v1alpha1.ReasonRouteConflict}, says: []string{`"routed" and "routed2"`, "fd99::/48"}},
		"admitted namespace":                      {pod: podSelecting("restricted"), want: []string{"net1=restricted/"}},
		"malformed":                               {pod: podSelecting("storage@eth0"), want: []string{v1alpha1.ReasonMalformedSelection}, says: []string{`"storage@eth0"`, "network[@interface][:qosclass]"}},
		"unknown network":                         {pod: podSelecting("storage,absent"), want: []string{v1alpha1.ReasonUnknownNetwork}, says: []string{`"absent"`, "create it"}},
		"unknown class":                           {pod: podSelecting("storage:silver"), want: []string{v1alpha1.ReasonUnknownQoSClass}, says: []string{`"silver"`, "create it"}},
		"unknown default class":                   {pod: podSelecting("classless"), want: []string{v1alpha1.ReasonUnknownQoSClass}, says: []string{`"classless"`, `"absent"`, "spec.qosClassName"}},
		"class named over an unknown default":     {pod: podSelecting("classless:gold"), want: []string{"net1=classless/gold"}},
		"class by its name, which is the default": {pod: podSelecting("classy:gold"), want: []string{"net1=classy/gold"}},
		"class of a Network that allows all":      {pod: podSelecting("open:gold"), want: []string{"net1=open/gold"}},
		"class that nothing allows": {pod: podSelecting("plain:gold"), want: []string{v1alpha1.ReasonQoSClassNotAllowed},
			says: []string{`Network "plain" does not allow QoSClass "gold"`, "select no class", "spec.allowedQoSClasses"}},
		"class that is not allowed, and not there": {pod: podSelecting("classless:silver"), want: []string{v1alpha1.ReasonQoSClassNotAllowed},
			says: []string{`"silver"`, "one of absent, gold"}},
		"class allowed no longer":          {pod: podSelecting("plain:gold"), attached: map[string]string{"net1": "plain"}, want: []string{"net1=plain/gold"}},
		"class leaving":                    {pod: podSelecting("storage:ending"), want: []string{v1alpha1.ReasonQoSClassDeleting}, says: []string{`QoSClass "ending" is being deleted`}},
		"default class leaving":            {pod: podSelecting("ending"), want: []string{v1alpha1.ReasonQoSClassDeleting}},
		"class leaving that the pod has":   {pod: podSelecting("ending"), attached: map[string]string{"net1": "ending"}, want: []string{"net1=ending/ending"}},
		"network leaving":                  {pod: podSelecting("leaving"), want: []string{v1alpha1.ReasonNetworkDeleting}, says: []string{`"leaving"`}},
		"network leaving that the pod has": {pod: podSelecting("leaving"), attached: map[string]string{"net1": "leaving"}, want: []string{"net1=leaving/"}},
		"network leaving, of another":      {pod: podSelecting("leaving"), attached: map[string]string{"net1": "storage"}, want: []string{v1alpha1.ReasonNetworkDeleting}},
		"network broken":                   {pod: podSelecting("broken"), want: []string{v1alpha1.ReasonNetworkNotAccepted}, says: []string{"10.99.0.0"}},
		"not admitted":                     {pod: podSelecting("nobody"), want: []string{v1alpha1.ReasonNotAdmitted}, says: []string{`"shop"`, "team=none"}},
		"host network":                     {pod: podSelecting("storage", func(p *corev1.Pod) { p.Spec.HostNetwork = true }), want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{"hostNetwork"}},
		"static pod": {pod: podSelecting("storage", func(p *corev1.Pod) { p.Annotations[corev1.MirrorPodAnnotationKey] = "x" }),
			want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{"static pod"}},
		"Windows pod": {pod: podSelecting("storage", func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }),
			want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{"Windows"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			planned, refusal := Plan(PodSnapshot{Pod: c.pod, NamespaceLabels: map[string]string{"team": "db"}, Networks: networks, QoSClasses: classes, Attached: onNetworks(c.attached)})
			var got []string
			for _, p := range planned {
				class := ""
				if p.QoS != nil {
					class = p.QoS.Name
				}
				got = append(got, p.Selection.Interface+"="+p.Network.Name+"/"+class)
			}
			if refusal != nil {
				got = append(got, refusal.Reason)
				refusal.mustSay(t, c.says)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLingers(t *testing.T) {
	going := metav1.Now()
	cases := map[string]struct {
		pod  corev1.Pod
		want bool
	}{
		"running":   {corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}, false},
		"succeeded": {corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodSucceeded}}, true},
		"failed":    {corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodFailed}}, true},
		"failed on its way out": {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &going},
			Status: corev1.PodStatus{Phase: corev1.PodFailed}}, false},
		"failed and held by a finalizer": {corev1.Pod{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &going, Finalizers: []string{"batch.kubernetes.io/job-tracking"}},
			Status: corev1.PodStatus{Phase: corev1.PodFailed}}, true},
	}
	for name, c := range cases {
		if got := Lingers(&c.pod); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func allowing(classes ...string) func(*v1alpha1.Network) {
	return func(n *v1alpha1.Network) { n.Spec.AllowedQoSClasses = classes }
}

func routing(destinations ...string) func(*v1alpha1.Network) {
	return func(n *v1alpha1.Network) {
		for _, to := range destinations {
			n.Spec.Routes = append(n.Spec.Routes, v1alpha1.Route{To: to})
		}
	}
}

func TestRoutesGoToTheFirstInterfaceOfANetwork(t *testing.T) {
	n := network("routed", routing("10.99.0.0/16", "fd99::/48"))
	planned, refusal := Plan(PodSnapshot{Pod: podSelecting("routed,routed"), Networks: map[string]*v1alpha1.Network{"routed": n}})
	if refusal != nil {
		t.Fatal(refusal)
	}
	if diff := cmp.Diff([][]v1alpha1.Route{n.Spec.Routes, nil}, [][]v1alpha1.Route{planned[0].Routes, planned[1].Routes}); diff != "" {
		t.Error(diff)
	}
}
