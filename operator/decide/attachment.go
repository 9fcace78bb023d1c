package decide

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// maxPodNamePart leaves room for "-" and the hash in the 253 characters of an object's name.
const maxPodNamePart = 200

// AttachmentName is the name of the PodNetworkAttachment for one interface of one pod. It is deterministic, so
// that two operators, or one that does not know whether its create arrived, make the same object.
func AttachmentName(podName string, podUID types.UID, iface string) string {
	if len(podName) > maxPodNamePart {
		podName = strings.TrimRight(podName[:maxPodNamePart], "-.")
	}
	sum := sha256.Sum256([]byte(string(podUID) + "/" + iface))
	return podName + "-" + hex.EncodeToString(sum[:5])
}

// MAC is stable for an address of a Network, so that neighbours' caches stay right when the address moves to
// another pod; without an address it is stable for the pod's interface. 02 marks it as locally administered.
func MAC(network string, addresses []ipam.Assignment, podUID types.UID, iface string) net.HardwareAddr {
	seed := string(podUID) + "/" + iface
	if len(addresses) > 0 {
		seed = network + "/" + addresses[0].Addr.String()
	}
	sum := sha256.Sum256([]byte(seed))
	return net.HardwareAddr{0x02, sum[0], sum[1], sum[2], sum[3], sum[4]}
}

// Attachment is the complete order for one interface of a bound pod.
func Attachment(pod *corev1.Pod, p Planned, addresses []ipam.Assignment) *v1alpha1.PodNetworkAttachment {
	network, iface := p.Network, p.Selection.Interface
	return &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:  pod.Namespace,
			Name:       AttachmentName(pod.Name, pod.UID, iface),
			Finalizers: []string{v1alpha1.FinalizerRelease},
			// Neither controller nor blockOwnerDeletion: the pod must be able to go while the agent releases.
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}},
		},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			Pod:           v1alpha1.PodReference{Name: pod.Name, UID: pod.UID},
			NetworkName:   network.Name,
			NodeName:      pod.Spec.NodeName,
			Interface:     v1alpha1.InterfaceName(iface),
			PodClaimName:  p.Selection.PodClaimName,
			Request:       requestOf(p.Selection),
			Type:          network.Spec.Type,
			Macvlan:       network.Spec.Macvlan.DeepCopy(),
			SRIOV:         network.Spec.SRIOV.DeepCopy(),
			HostDevice:    network.Spec.HostDevice.DeepCopy(),
			CNI:           network.Spec.CNI.DeepCopy(),
			CNIArguments:  p.CNIArguments.DeepCopy(),
			RackLocal:     p.Rack.DeepCopy(),
			MTU:           network.Spec.MTU,
			MAC:           p.attachmentMAC(pod, addresses),
			Addresses:     attachmentAddresses(addresses),
			Routes:        resolveRoutes(p.Routes, addresses),
			DefaultRoutes: defaultRoutes(p.DefaultRoute, addresses),
			Choice:        p.Choice,
			QoS:           resolveQoS(p.QoS),

			ResourceIndex: p.ResourceIndex,
		},
	}
}

// requestOf is the name of the request that an element stands for: in claims that the operator's templates make, always the same.
// It is empty where an element has no claim.
func requestOf(sel selection.Selection) string {
	if sel.PodClaimName == "" {
		return ""
	}
	return cmp.Or(sel.Request, claimRequest)
}

func attachmentAddresses(assigned []ipam.Assignment) []v1alpha1.AttachmentAddress {
	var addresses []v1alpha1.AttachmentAddress
	for _, a := range assigned {
		address := v1alpha1.AttachmentAddress{Address: netip.PrefixFrom(a.Addr, a.Prefix.Bits()).String()}
		if a.Gateway.IsValid() {
			address.Gateway = a.Gateway.String()
		}
		addresses = append(addresses, address)
	}
	return addresses
}

// resolveRoutes fills in the gateway of the pod's own range. Without one the destination is on link.
func resolveRoutes(routes []v1alpha1.Route, assigned []ipam.Assignment) []v1alpha1.Route {
	var resolved []v1alpha1.Route
	for _, r := range routes {
		to, err := netip.ParsePrefix(r.To)
		for _, a := range assigned {
			if err == nil && r.Via == "" && a.Gateway.IsValid() && a.Addr.Is4() == to.Addr().Is4() {
				r.Via = a.Gateway.String()
			}
		}
		resolved = append(resolved, r)
	}
	return resolved
}

// defaultRoutes are the gateways that the pod names, or those of its addresses.
func defaultRoutes(asked []netip.Addr, assigned []ipam.Assignment) (gateways []string) {
	for _, gateway := range asked {
		gateways = append(gateways, gateway.String())
	}
	for _, a := range assigned {
		if asked != nil && len(asked) == 0 && a.Gateway.IsValid() {
			gateways = append(gateways, a.Gateway.String())
		}
	}
	return gateways
}

func resolveQoS(class *v1alpha1.QoSClass) *v1alpha1.ResolvedQoS {
	if class == nil {
		return nil
	}
	resolved := &v1alpha1.ResolvedQoS{ClassName: class.Name, QoSClassSpec: *class.Spec.DeepCopy()}
	resolved.Cost, resolved.Description = 0, ""
	return resolved
}

// Addresses returns the addresses that an attachment records, without prefix length. What does not parse
// cannot be held by anybody and is left out.
func Addresses(pna *v1alpha1.PodNetworkAttachment) []netip.Addr {
	var addresses []netip.Addr
	for _, a := range pna.Spec.Addresses {
		if p, err := netip.ParsePrefix(a.Address); err == nil {
			addresses = append(addresses, p.Addr())
		}
	}
	return addresses
}
