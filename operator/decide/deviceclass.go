package decide

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const (
	// LabelNetwork on DeviceClasses and ResourceClaimTemplates names the Network that they were compiled from. It is empty on the
	// template for a class, which is of several.
	LabelNetwork = v1alpha1.GroupName + "/network"
	// LabelQoSClass on a ResourceClaimTemplate names the class of the selection; absent for the Network's default.
	LabelQoSClass = v1alpha1.GroupName + "/qos-class"
	// claimRequest is the name of the request for what carries the interface, bandwidthRequest that for the bandwidth of its NIC.
	claimRequest     = "nic"
	bandwidthRequest = "bandwidth"
)

// DeviceClass compiles a Network to the devices that may carry it.
func DeviceClass(network *v1alpha1.Network) *resourcev1.DeviceClass {
	return &resourcev1.DeviceClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:            v1alpha1.DeviceClassName(network.Name),
			Labels:          map[string]string{LabelNetwork: network.Name},
			OwnerReferences: []metav1.OwnerReference{ownerReference(network)},
		},
		Spec: resourcev1.DeviceClassSpec{Selectors: []resourcev1.DeviceSelector{{
			CEL: &resourcev1.CELDeviceSelector{Expression: deviceExpression(network)},
		}}},
	}
}

// deviceExpression is what the scheduler tests a device by; matches is the same in Go.
func deviceExpression(network *v1alpha1.Network) string {
	kinds := kindsOf(network)
	kind := attributeTest{domain: v1alpha1.DriverName, name: v1alpha1.DeviceAttributeKind, condition: "== " + strconv.Quote(string(kinds[0]))}
	if len(kinds) > 1 {
		kind.condition = "in " + list(kinds)
	}
	terms := []string{fmt.Sprintf("device.driver == %q", v1alpha1.DriverName), kind.term()}
	if key := TopologyKey(network); key != "" {
		// An unknown domain is an empty map.
		domain, name := v1alpha1.TopologyAttribute(key)
		terms = append(terms, fmt.Sprintf("%q in device.attributes[%q]", name, domain))
	}
	terms = append(terms, pluginTerms(network)...)
	return strings.Join(append(terms, testTerms(network)...), " && ")
}

// kindsOf are the kinds of devices that carry the Network. Who names a NIC by its PCI address need not know whether it is a VF.
func kindsOf(network *v1alpha1.Network) []v1alpha1.DeviceKind {
	kinds := []v1alpha1.DeviceKind{kindOf(network)}
	if h := network.Spec.HostDevice; h != nil && len(h.NIC.PCIAddresses) > 0 {
		kinds = append(kinds, v1alpha1.DeviceKindVF)
	}
	return kinds
}

// kindOf is the kind of device that carries the Network.
func kindOf(network *v1alpha1.Network) v1alpha1.DeviceKind {
	if rack := network.Spec.RackLocal; rack != nil && rack.Overlay != nil {
		return v1alpha1.DeviceKindOverlay
	}
	if network.Spec.SRIOV != nil {
		return v1alpha1.DeviceKindVF
	}
	if network.Spec.CNI != nil {
		return v1alpha1.DeviceKindCNI
	}
	return v1alpha1.DeviceKindUplink
}

// uplinkOf is the zero value, which selects every NIC, where there is no selector.
func uplinkOf(network *v1alpha1.Network) v1alpha1.UplinkSelector {
	switch spec := &network.Spec; {
	case spec.Macvlan != nil:
		return spec.Macvlan.Uplink
	case spec.RackLocal != nil && spec.RackLocal.Uplink != nil:
		return spec.RackLocal.Uplink.UplinkSelector
	case spec.HostDevice != nil:
		return spec.HostDevice.NIC
	}
	return v1alpha1.UplinkSelector{}
}

// ClaimTemplate is what pods of a namespace claim for a Network. selectedClass is the class in the pod's
// selection, "" for the Network's default; class is the QoSClass that results, nil for none.
func ClaimTemplate(namespace string, network *v1alpha1.Network, selectedClass string, class *v1alpha1.QoSClass) *resourcev1.ResourceClaimTemplate {
	labels := map[string]string{LabelNetwork: network.Name}
	if selectedClass != "" {
		labels[LabelQoSClass] = selectedClass
	}
	return &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       namespace,
			Name:            v1alpha1.ClaimTemplateName(network.Name, selectedClass),
			Labels:          labels,
			OwnerReferences: []metav1.OwnerReference{ownerReference(network)},
		},
		Spec: resourcev1.ResourceClaimTemplateSpec{Spec: resourcev1.ResourceClaimSpec{Devices: claimDevices(network, class)}},
	}
}

// claimDevices takes guaranteed bandwidth from the device itself where that is the NIC, else by a second request from the
// NIC behind it.
func claimDevices(network *v1alpha1.Network, class *v1alpha1.QoSClass) resourcev1.DeviceClaim {
	carrier := request(claimRequest, v1alpha1.DeviceClassName(network.Name))
	carrier.Exactly.Tolerations = tolerations(network)
	guaranteed := capacity(class)
	if guaranteed == nil || kindOf(network) == v1alpha1.DeviceKindUplink {
		carrier.Exactly.Capacity = withWhole(network, guaranteed)
		return resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{carrier}}
	}
	return withBandwidth(carrier, guaranteed)
}

// tolerations let a pod have a NIC that is down on the node, since the pod is the one to bring it up.
func tolerations(network *v1alpha1.Network) []resourcev1.DeviceToleration {
	if network.Spec.HostDevice == nil {
		return nil
	}
	return []resourcev1.DeviceToleration{{
		Key: v1alpha1.DeviceTaintNoCarrier, Operator: resourcev1.DeviceTolerationOpExists, Effect: resourcev1.DeviceTaintEffectNoSchedule,
	}}
}

// tainted tells whether the scheduler keeps pods of the Network away from a device.
func tainted(network *v1alpha1.Network, device resourcev1.Device) bool {
	return slices.ContainsFunc(device.Taints, func(t resourcev1.DeviceTaint) bool {
		return network.Spec.HostDevice == nil || t.Key != v1alpha1.DeviceTaintNoCarrier
	})
}

// takesWhole tells whether a pod on the Network has its uplink alone.
func takesWhole(network *v1alpha1.Network) bool { return wholeBy(network) != "" }

// wholeBy is what a Network is where a pod has its uplink alone, for messages, and "" elsewhere.
func wholeBy(network *v1alpha1.Network) string {
	switch spec := &network.Spec; {
	case spec.HostDevice != nil:
		return "of type HostDevice"
	case spec.Macvlan != nil && spec.Macvlan.Mode == v1alpha1.MacvlanModePassthru:
		return "in mode Passthru"
	}
	return ""
}

// withWhole asks for the uplink as a whole where the Network takes that: the scheduler gives it to no claim beside another, and to
// no other after it. Elsewhere each claim takes the device's default of it, which is one.
func withWhole(network *v1alpha1.Network, asked *resourcev1.CapacityRequirements) *resourcev1.CapacityRequirements {
	if !takesWhole(network) {
		return asked
	}
	if asked == nil {
		asked = &resourcev1.CapacityRequirements{Requests: map[resourcev1.QualifiedName]resource.Quantity{}}
	}
	asked.Requests[v1alpha1.DeviceCapacityLinks] = *resource.NewQuantity(v1alpha1.WholeUplink, resource.DecimalSI)
	return asked
}

// withBandwidth has the NIC behind a request's device give the bandwidth.
func withBandwidth(carrier resourcev1.DeviceRequest, guaranteed *resourcev1.CapacityRequirements) resourcev1.DeviceClaim {
	bandwidth := request(bandwidthRequest, v1alpha1.BandwidthClassName)
	bandwidth.Exactly.Capacity = guaranteed
	nic := resourcev1.FullyQualifiedName(v1alpha1.DriverName + "/" + v1alpha1.DeviceAttributeNIC)
	return resourcev1.DeviceClaim{
		Requests:    []resourcev1.DeviceRequest{carrier, bandwidth},
		Constraints: []resourcev1.DeviceConstraint{{Requests: []string{carrier.Name, bandwidth.Name}, MatchAttribute: &nic}},
	}
}

func request(name, class string) resourcev1.DeviceRequest {
	return resourcev1.DeviceRequest{Name: name, Exactly: &resourcev1.ExactDeviceRequest{
		DeviceClassName: class, AllocationMode: resourcev1.DeviceAllocationModeExactCount, Count: 1,
	}}
}

// capacity asks for the guaranteed bandwidth. Without a guarantee nothing is asked for: the device's request policy then
// counts its default, which is nothing.
func capacity(class *v1alpha1.QoSClass) *resourcev1.CapacityRequirements {
	if class == nil {
		return nil
	}
	requests := map[resourcev1.QualifiedName]resource.Quantity{}
	for name, direction := range map[resourcev1.QualifiedName]*v1alpha1.Bandwidth{
		v1alpha1.DeviceCapacityBandwidth: class.Spec.Egress, v1alpha1.DeviceCapacityIngress: class.Spec.Ingress,
	} {
		if direction != nil && direction.Guaranteed != nil {
			requests[name] = direction.Guaranteed.DeepCopy()
		}
	}
	if len(requests) == 0 {
		return nil
	}
	return &resourcev1.CapacityRequirements{Requests: requests}
}

func ownerReference(network *v1alpha1.Network) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "Network", Name: network.Name, UID: network.UID,
	}
}
