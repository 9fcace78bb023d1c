package publish

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// deviceInfoVersion is that of k8snetworkplumbingwg/device-info-spec.
const deviceInfoVersion = "1.1.0"

// annotations returns the two annotations that list a pod's addresses. The interface of the default network is
// eth0: every runtime names it so, and does not tell.
//
// A pod that is not attached has an empty list of addresses. That it appears is also what makes the kubelet look at
// the pod at once: a change of an annotation does, one of the status does not.
func annotations(r Report, defaultNetwork string) (map[string]string, error) {
	if !r.attached() && len(r.inPod()) == 0 {
		return map[string]string{v1alpha1.AnnotationPodIPs: "[]"}, nil
	}
	list := []netstatus.Interface{{
		Name: defaultNetwork, Interface: "eth0", IPs: r.PrimaryIPs, Default: true,
	}}
	ips := []netstatus.PodIP{}
	for _, i := range r.inPod() {
		element := netstatus.Interface{
			Name: netattach.StatusName(i.Plan.Network), Interface: i.Plan.Interface, MAC: i.MAC.String(), MTU: i.MTU,
			Gateway: gateways(i), DNS: i.DNS, DeviceInfo: cmp.Or(i.DeviceInfo, DeviceInfo(i.Plan)),
		}
		for _, a := range i.Addresses {
			element.IPs = append(element.IPs, a.Addr())
			ips = append(ips, netstatus.PodIP{NetworkName: i.Plan.Network, Interface: i.Plan.Interface, IP: a.Addr()})
		}
		list = append(list, element)
	}
	status, err := netstatus.Encode(list)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", v1alpha1.AnnotationNetworkStatus, err)
	}
	podIPs, err := netstatus.EncodePodIPs(ips)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w", v1alpha1.AnnotationPodIPs, err)
	}
	return map[string]string{v1alpha1.AnnotationNetworkStatus: status, v1alpha1.AnnotationPodIPs: podIPs}, nil
}

// gateways are those of the addresses, and by which default routes go.
func gateways(i Interface) []netip.Addr {
	list := slices.Concat(i.Plan.Gateways, i.Gateways)
	for _, gateway := range i.Plan.DefaultRoutes {
		if !slices.Contains(list, gateway) {
			list = append(list, gateway)
		}
	}
	return list
}

// DeviceInfo identifies the device of an interface that is one by itself; nil for others, and where it is not known to be a PCI device. No container gets /dev/vhost-net, so that none is told.
func DeviceInfo(a plan.Attachment) *netstatus.DeviceInfo {
	if a.CNI != nil && a.CNI.Device != nil && a.CNI.Device.PCIAddress() != "" {
		return &netstatus.DeviceInfo{Type: "pci", Version: deviceInfoVersion, PCI: &netstatus.PCIDevice{Address: a.CNI.Device.PCIAddress()}}
	}
	if a.VF == nil {
		return nil
	}
	pci := &netstatus.PCIDevice{Address: a.VF.PCIAddress, PFAddress: a.Device.PFAddress, RepresentorDevice: a.Device.Representor}
	if a.VF.RDMA {
		pci.RDMADevice = a.Device.RDMADevice
	}
	return &netstatus.DeviceInfo{Type: "pci", Version: deviceInfoVersion, PCI: pci}
}
