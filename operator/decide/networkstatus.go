package decide

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// NetworkFacts is everything that a Network's status is made of.
type NetworkFacts struct {
	Network *v1alpha1.Network
	// QoSClassMissing tells that spec.qosClassName does not exist.
	QoSClassMissing bool
	// DeviceClassError is why the DeviceClass could not be made, or nil.
	DeviceClassError error
	Nodes            int32
	Attachments      int32
	// NICs is the result of the function of that name.
	NICs  []NIC
	Usage []ipam.Usage
	Aside []ipam.Aside
	// Outside are addresses in use that no range has, each with its owner.
	Outside []string
	// Overlaps is the result of the function of that name.
	Overlaps []string
	// NodeRacks and RackNodes are the results of the functions of these names, for a rack-local Network.
	NodeRacks map[string]string
	RackNodes map[string]int32
	// Racks is what the plan of a rack-local Network says, Unlisted as well.
	Racks    []v1alpha1.RackStatus
	Unlisted []string
	// Moved are pods in a rack that their node has left.
	Moved []string
	Now   metav1.Time
}

// NetworkStatus is the status to write. Transition times move only where a condition's status changes.
func NetworkStatus(f NetworkFacts) v1alpha1.NetworkStatus {
	status := v1alpha1.NetworkStatus{
		ObservedGeneration: f.Network.Generation,
		Attachments:        f.Attachments,
		Nodes:              f.Nodes,
		SetAside:           SetAside(f.Aside),
		Conditions:         slices.Clone(f.Network.Status.Conditions),
	}
	status.Bandwidth, status.Fullest, status.BandwidthSummary = bandwidthStatus(f.NICs)
	if TopologyKey(f.Network) != "" {
		f.setRacks(&status)
	} else {
		status.Ranges = rangeStatus(f.Usage)
	}
	f.set(&status, f.accepted())
	f.set(&status, f.ready())
	if len(f.Overlaps) > 0 {
		f.set(&status, condition(v1alpha1.NetworkConditionAddressConflict, true, v1alpha1.ReasonAddressConflict,
			strings.Join(f.Overlaps, "; ")+"; give each its own part with start, end or exclude, or its own VLAN"))
	} else {
		meta.RemoveStatusCondition(&status.Conditions, v1alpha1.NetworkConditionAddressConflict)
	}
	return status
}

func rangeStatus(usage []ipam.Usage) []v1alpha1.RangeStatus {
	var status []v1alpha1.RangeStatus
	for _, u := range usage {
		status = append(status, v1alpha1.RangeStatus{CIDR: u.Prefix.String(), Total: u.Total, Allocated: u.Allocated, Free: u.Free})
	}
	return status
}

func (f NetworkFacts) set(status *v1alpha1.NetworkStatus, c metav1.Condition) {
	c.ObservedGeneration, c.LastTransitionTime = f.Network.Generation, f.Now
	if old := meta.FindStatusCondition(status.Conditions, c.Type); old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	meta.SetStatusCondition(&status.Conditions, c)
}

func (f NetworkFacts) accepted() metav1.Condition {
	if problem := CheckNetwork(f.Network); problem != nil {
		return condition(v1alpha1.NetworkConditionAccepted, false, v1alpha1.ReasonInvalidSpec, oneLine(problem.Error()))
	}
	return condition(v1alpha1.NetworkConditionAccepted, true, v1alpha1.ReasonValid, "The spec can be honoured.")
}

// ready tells the most fundamental obstacle first.
func (f NetworkFacts) ready() metav1.Condition {
	not := func(reason, format string, args ...any) metav1.Condition {
		return condition(v1alpha1.NetworkConditionReady, false, reason, fmt.Sprintf(format, args...))
	}
	full := ""
	if TopologyKey(f.Network) == "" {
		full = fullFamilies(f.Usage)
	}
	switch {
	case !f.Network.DeletionTimestamp.IsZero():
		return not(v1alpha1.ReasonInUse, "The Network is being deleted and waits for %d attachments; delete the pods that use it.", f.Attachments)
	case CheckNetwork(f.Network) != nil:
		return not(v1alpha1.ReasonInvalidSpec, "The spec cannot be honoured, see condition Accepted.")
	case f.QoSClassMissing:
		return not(v1alpha1.ReasonQoSClassNotFound, "QoSClass %q does not exist; create it or change spec.qosClassName.", f.Network.Spec.QoSClassName)
	case f.DeviceClassError != nil:
		return not(v1alpha1.ReasonDeviceClassFailed, "%s", oneLine(f.DeviceClassError.Error()))
	case f.Nodes == 0:
		return not(v1alpha1.ReasonNoUplink, "%s", noUplink(f.Network))
	case full != "":
		return not(v1alpha1.ReasonRangeExhausted, "Every %s address is in use or set aside; add a range or delete pods.", full)
	case len(f.Outside) > 0:
		return condition(v1alpha1.NetworkConditionReady, true, v1alpha1.ReasonRangeInUse, fmt.Sprintf(
			"Pods can be attached. In use outside of the ranges until their pods are gone: %s.", some(f.Outside)))
	}
	return condition(v1alpha1.NetworkConditionReady, true, v1alpha1.ReasonReady, "Pods can be attached.")
}

func noUplink(network *v1alpha1.Network) string {
	key := TopologyKey(network)
	switch rack := network.Spec.RackLocal; {
	case network.Spec.SRIOV != nil:
		return "No node has a matching virtual function; check spec.sriov.device against `kubectl get resourceslices -o yaml`, and whether " +
			"sriov_numvfs of the NICs is set, by you or by vfs in the agents' configuration (ConfigMap multinet-agent)."
	case network.Spec.CNI != nil:
		return noPlugins(network)
	case network.Spec.HostDevice != nil:
		return "No node has a matching NIC; check spec.hostDevice.nic against `kubectl get resourceslices -o yaml`."
	case key == "":
		return "No node has a matching uplink; check spec.macvlan.uplink against `kubectl get resourceslices -o yaml`."
	case rack != nil && rack.Overlay != nil:
		return fmt.Sprintf("No node with an agent is in a rack; label nodes with %s, and check that topologyKeys in the agents' "+
			"configuration (ConfigMap multinet-agent) has that label.", key)
	}
	return fmt.Sprintf("No node that is in a rack has a matching uplink; label nodes with %s, check that topologyKeys in the agents' "+
		"configuration (ConfigMap multinet-agent) has that label, and check spec.rackLocal.uplink against `kubectl get resourceslices -o yaml`.", key)
}

// fullFamilies names the families in which no range has an address left, "" for none.
func fullFamilies(usage []ipam.Usage) string {
	full := map[ipam.Family]bool{}
	for _, u := range usage {
		family := ipam.FamilyOf(u.Prefix.Addr())
		before, seen := full[family]
		full[family] = u.Full && (before || !seen)
	}
	var names []string
	for _, family := range []ipam.Family{ipam.IPv4, ipam.IPv6} {
		if full[family] {
			names = append(names, string(family))
		}
	}
	return strings.Join(names, " and ")
}

func condition(kind string, holds bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if holds {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// oneLine undoes the line breaks of joined errors.
func oneLine(message string) string { return strings.ReplaceAll(message, "\n", "; ") }

// some lists at most five names, since a message has a limit and a reader too.
func some(names []string) string {
	const most = 5
	names = slices.Sorted(slices.Values(names))
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
