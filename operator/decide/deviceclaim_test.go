package decide

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func asking(capacity string) *resourcev1.CapacityRequirements {
	if capacity == "" {
		return nil
	}
	return &resourcev1.CapacityRequirements{Requests: map[resourcev1.QualifiedName]resource.Quantity{"bandwidth": resource.MustParse(capacity)}}
}

// exactly is a request for a device of a Network, with a capacity or "".
func exactly(name, class, capacity string) resourcev1.DeviceRequest {
	return resourcev1.DeviceRequest{Name: name, Exactly: &resourcev1.ExactDeviceRequest{
		DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1, Capacity: asking(capacity)}}
}

// preferring is a request with a first and a second choice.
func preferring(name, first, second string) resourcev1.DeviceRequest {
	sub := func(name, class string) resourcev1.DeviceSubRequest {
		return resourcev1.DeviceSubRequest{Name: name, DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1}
	}
	return resourcev1.DeviceRequest{Name: name, FirstAvailable: []resourcev1.DeviceSubRequest{sub("first", first), sub("second", second)}}
}

// allocated is what the scheduler did for the pod, for each request given.
func allocated(requests ...string) resourcev1.ResourceClaimStatus {
	status := resourcev1.ResourceClaimStatus{
		ReservedFor: []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "db-0", UID: "pod-uid"}},
		Allocation:  &resourcev1.AllocationResult{},
	}
	for _, request := range requests {
		status.Allocation.Devices.Results = append(status.Allocation.Devices.Results, resourcev1.DeviceRequestAllocationResult{
			Request: request, Driver: v1alpha1.DriverName, Pool: "node1", Device: "d"})
	}
	return status
}

func claimOf(requests ...resourcev1.DeviceRequest) DeviceClaim {
	return DeviceClaim{Object: `ResourceClaim "pair-x"`, Spec: &resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: requests}}}
}

// TestPlanOfOwnClaims: each case edits a claim for a GPU and a device of Network storage, which is allocated.
func TestPlanOfOwnClaims(t *testing.T) {
	guaranteed := resource.MustParse("1G")
	networks := map[string]*v1alpha1.Network{
		"storage": network("storage", allowing("gold", "bronze")), "fast": network("fast"), "alone": network("alone", alone), "whole": network("whole", wholeNIC),
		"classy": network("classy", func(n *v1alpha1.Network) { n.Spec.QoSClassName = "gold" }),
		"closed": network("closed", func(n *v1alpha1.Network) {
			n.Spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "none"}}
		}),
	}
	classes := map[string]*v1alpha1.QoSClass{
		"gold":   {ObjectMeta: metav1.ObjectMeta{Name: "gold"}, Spec: v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Guaranteed: &guaranteed}}},
		"bronze": {ObjectMeta: metav1.ObjectMeta{Name: "bronze"}},
	}
	invalid, notReady := v1alpha1.ReasonInvalidResourceClaim, v1alpha1.ReasonResourceClaimNotReady
	gpu, nic := exactly("gpu", "gpu.example.com", ""), exactly("nic", "storage.multinet.dev", "")
	yes := true
	type scene struct {
		pod   *corev1.Pod
		claim *DeviceClaim
		s     *PodSnapshot
	}
	cases := map[string]struct {
		edit func(scene)
		// want is interface=network/class for each planned attachment, or the refusal's reason.
		want []string
		says []string
	}{
		"allocated":         {want: []string{"net1=storage/"}},
		"not yet scheduled": {edit: func(c scene) { c.pod.Spec.NodeName, c.claim.Status = "", resourcev1.ResourceClaimStatus{} }, want: []string{"net1=storage/"}},
		"chosen alternative": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "fast.multinet.dev", "storage.multinet.dev"))
			c.claim.Status = allocated("nic/second")
		}, want: []string{"net1=storage/"}},
		"first of the alternatives until there is a node": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "fast.multinet.dev", "storage.multinet.dev"))
			c.pod.Spec.NodeName = ""
		}, want: []string{"net1=fast/"}},
		"alternative of a closed network": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "storage.multinet.dev", "closed.multinet.dev"))
			c.pod.Spec.NodeName = ""
		}, want: []string{v1alpha1.ReasonNotAdmitted}, says: []string{`"closed"`, `"shop"`}},
		"closed network, chosen": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "storage.multinet.dev", "closed.multinet.dev"))
			c.claim.Status = allocated("nic/second")
		}, want: []string{v1alpha1.ReasonNotAdmitted}},
		"closed network": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "closed.multinet.dev", "") }, want: []string{v1alpha1.ReasonNotAdmitted}},
		"unknown network": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "absent.multinet.dev", "") }, want: []string{v1alpha1.ReasonUnknownNetwork},
			says: []string{`"absent"`, "or the claim that it names"}},
		"no claim": {edit: func(c scene) { c.claim.Spec = nil }, want: []string{notReady}, says: []string{`ResourceClaim "pair-x", which "claim=pair/nic" selects, does not exist; create it`}},
		"no entry": {edit: func(c scene) { c.pod.Spec.ResourceClaims = nil }, want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{`no entry "pair"`}},
		"one device by two names": {edit: func(c scene) {
			name := "pair-x"
			c.pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=a/nic,claim=b/nic"
			c.pod.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "a", ResourceClaimName: &name}, {Name: "b", ResourceClaimName: &name}}
		}, want: []string{v1alpha1.ReasonUnsupportedPod}, says: []string{`"claim=a/nic" and "claim=b/nic" select one device`}},
		"no such request": {edit: func(c scene) { c.pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/vf" }, want: []string{invalid}, says: []string{`no request "vf", only gpu, nic`}},
		"not a network's class": {edit: func(c scene) { c.pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/gpu" }, want: []string{invalid},
			says: []string{`DeviceClass "gpu.example.com"`, "<network>.multinet.dev"}},
		"one of the alternatives is not a network's": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "storage.multinet.dev", "gpu.example.com"))
		}, want: []string{invalid}, says: []string{`asks in "nic/second"`}},
		"class of a template": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1].Exactly.DeviceClassName = "storage.gold.multinet.dev" }, want: []string{invalid}},
		"admin access":        {edit: func(c scene) { c.claim.Spec.Devices.Requests[1].Exactly.AdminAccess = &yes }, want: []string{invalid}, says: []string{"adminAccess"}},
		"two devices":         {edit: func(c scene) { c.claim.Spec.Devices.Requests[1].Exactly.Count = 2 }, want: []string{invalid}, says: []string{"more than one device"}},
		"all devices": {edit: func(c scene) {
			c.claim.Spec.Devices.Requests[1].Exactly.AllocationMode = resourcev1.DeviceAllocationModeAll
		}, want: []string{invalid}},
		"two in an alternative": {edit: func(c scene) {
			*c.claim = claimOf(preferring("nic", "storage.multinet.dev", "fast.multinet.dev"))
			c.claim.Spec.Devices.Requests[0].FirstAvailable[1].Count = 2
		}, want: []string{invalid}},
		"parameters for us": {edit: func(c scene) {
			c.claim.Spec.Devices.Config = []resourcev1.DeviceClaimConfiguration{{DeviceConfiguration: resourcev1.DeviceConfiguration{Opaque: &resourcev1.OpaqueDeviceConfiguration{Driver: v1alpha1.DriverName}}}}
		}, want: []string{invalid}, says: []string{"takes none"}},
		"not allocated": {edit: func(c scene) { c.claim.Status.Allocation = nil }, want: []string{notReady}, says: []string{"without the scheduler"}},
		"shared with a pod": {edit: func(c scene) {
			c.claim.Status.ReservedFor = append(c.claim.Status.ReservedFor, resourcev1.ResourceClaimConsumerReference{UID: "other"})
		}, want: []string{notReady},
			says: []string{"reserved for 2 pods", "ResourceClaimTemplate"}},
		"somebody else's":     {edit: func(c scene) { c.claim.Status.ReservedFor[0].UID = types.UID("former") }, want: []string{notReady}},
		"another driver's":    {edit: func(c scene) { c.claim.Status.Allocation.Devices.Results[0].Driver = "gpu.example.com" }, want: []string{invalid}, says: []string{"gpu.example.com/node1/d"}},
		"of another node":     {edit: func(c scene) { c.pod.Spec.NodeName = "node2" }, want: []string{invalid}, says: []string{"node2"}},
		"of an administrator": {edit: func(c scene) { c.claim.Status.Allocation.Devices.Results[0].AdminAccess = &yes }, want: []string{invalid}},
		"nothing allocated":   {edit: func(c scene) { c.claim.Status = allocated("gpu") }, want: []string{invalid}, says: []string{"0 devices"}},
		"unknown alternative": {edit: func(c scene) { c.claim.Status = allocated("nic/third") }, want: []string{invalid}, says: []string{`"nic/third"`}},
		"class that is not asked for": {edit: func(c scene) { c.pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/nic:gold" }, want: []string{invalid},
			says: []string{`asks in "nic" for capacity bandwidth of 0`, `QoSClass "gold" guarantees 1G`}},
		"default class that is not asked for": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "classy.multinet.dev", "999M") }, want: []string{invalid},
			says: []string{"999M"}},
		"class that is asked for":       {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "classy.multinet.dev", "1G") }, want: []string{"net1=classy/gold"}},
		"class that guarantees nothing": {edit: func(c scene) { c.pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/nic:bronze" }, want: []string{"net1=storage/bronze"}},
		"class by the domain's name": {edit: func(c scene) {
			c.claim.Spec.Devices.Requests[1] = exactly("nic", "classy.multinet.dev", "1G")
			requests := c.claim.Spec.Devices.Requests[1].Exactly.Capacity.Requests
			requests["multinet.dev/bandwidth"] = requests["bandwidth"]
			delete(requests, "bandwidth")
		}, want: []string{"net1=classy/gold"}},
		"class of which less was consumed": {edit: func(c scene) {
			c.claim.Spec.Devices.Requests[1] = exactly("nic", "classy.multinet.dev", "1G")
			c.claim.Status.Allocation.Devices.Results[0].ConsumedCapacity = asking("10M").Requests
		}, want: []string{invalid}, says: []string{"10M"}},
		"an uplink alone that is not asked for": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "alone.multinet.dev", "") }, want: []string{invalid},
			says: []string{`asks in "nic" for capacity links of 0`, `Network "alone", in mode Passthru, has an uplink for one pod alone; ask for 65536`}},
		"a whole NIC that is not asked for": {edit: func(c scene) { c.claim.Spec.Devices.Requests[1] = exactly("nic", "whole.multinet.dev", "") }, want: []string{invalid},
			says: []string{`Network "whole", of type HostDevice, has an uplink for one pod alone; ask for 65536`}},
		"an uplink alone": {edit: func(c scene) {
			c.claim.Spec.Devices.Requests[1] = exactly("nic", "alone.multinet.dev", "0")
			c.claim.Spec.Devices.Requests[1].Exactly.Capacity.Requests["links"] = resource.MustParse("65536")
		}, want: []string{"net1=alone/"}},
		// What a running pod has is not looked at again: another pod that names its claim must not take it away.
		"attached already": {edit: func(c scene) {
			pna := attachmentOn("net1", "classy", "pair")
			pna.Spec.Request = "nic"
			c.s.Attached, c.s.DeviceClaims = map[string]*v1alpha1.PodNetworkAttachment{"net1": pna}, nil
		}, want: []string{"net1=classy/gold"}},
		"beside a network, twice": {edit: func(c scene) {
			*c.claim = claimOf(nic, exactly("other", "fast.multinet.dev", ""))
			c.claim.Status = allocated("nic", "other")
			p := podSelecting("storage")
			p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, c.pod.Spec.ResourceClaims...)
			p.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/nic@a,storage,claim=pair/other"
			p.Spec.NodeName = "node1"
			*c.pod = *p
		}, want: []string{"a=storage/", "net2=storage/", "net3=fast/"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			template := "pair"
			pod := podSelecting("")
			pod.Annotations[v1alpha1.AnnotationNetworks] = "claim=pair/nic"
			pod.Spec.NodeName = "node1"
			pod.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "pair", ResourceClaimTemplateName: &template}}
			claim := claimOf(*gpu.DeepCopy(), *nic.DeepCopy())
			claim.Status = allocated("nic")
			s := PodSnapshot{Pod: pod, Networks: networks, QoSClasses: classes}
			s.DeviceClaims = map[string]DeviceClaim{}
			if c.edit != nil {
				c.edit(scene{pod, &claim, &s})
			}
			if s.DeviceClaims != nil {
				s.DeviceClaims["pair"] = claim
			}
			planned, refusal := Plan(s)
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
				t.Errorf("(-want +got):\n%s\n%+v", diff, refusal)
			}
		})
	}
}

// TestCandidates: the pod is woken by each Network that it may be on.
func TestCandidates(t *testing.T) {
	template := "pair"
	pod := podSelecting("storage")
	pod.Annotations[v1alpha1.AnnotationNetworks] = "storage,claim=pair/nic,claim=absent/nic"
	pod.Spec.ResourceClaims = append(pod.Spec.ResourceClaims, corev1.PodResourceClaim{Name: "pair", ResourceClaimTemplateName: &template})
	s := PodSnapshot{Pod: pod, DeviceClaims: map[string]DeviceClaim{"pair": claimOf(preferring("nic", "fast.multinet.dev", "slow.multinet.dev"))}}
	var got []string
	for _, c := range s.Candidates() {
		got = append(got, c.Selection.Interface+"="+c.Network)
	}
	if diff := cmp.Diff([]string{"net1=storage", "net2=fast", "net2=slow"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"storage"}, SelectedNetworks(pod)); diff != "" {
		t.Error(diff)
	}
}
