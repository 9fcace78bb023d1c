// Package plan turns a PodNetworkAttachment and the device that the scheduler chose into what the attach path
// executes. It is pure: everything that can be refused is refused here, before a sandbox exists, and what
// comes out has types that cannot be wrong. The types are also what the ledger stores.
package plan

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// Pod is everything that the node plans for one pod. It is one file in the ledger.
type Pod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	// Attachments in the order of the pod's selection as far as they are known.
	Attachments []Attachment `json:"attachments"`
}

// Attachment is the plan for one interface.
type Attachment struct {
	// Name of the PodNetworkAttachment, in the pod's namespace.
	Name    string `json:"name"`
	Network string `json:"network"`
	// PodClaimName is the entry of the pod's spec.resourceClaims, Claim the allocation behind it; both are empty
	// where the pod has no claim.
	PodClaimName string `json:"podClaimName,omitempty"`
	Claim        *Claim `json:"claim,omitempty"`

	Interface string         `json:"interface"`
	MAC       HardwareAddr   `json:"mac"`
	Addresses []netip.Prefix `json:"addresses,omitempty"`
	Gateways  []netip.Addr   `json:"gateways,omitempty"`
	Routes    []Route        `json:"routes,omitempty"`
	// DefaultRoutes are the gateways of the pod's default routes, at most one of each family; all others of the family give way to them.
	DefaultRoutes []netip.Addr `json:"defaultRoutes,omitempty"`
	// MTU in bytes, 0 for that of the uplink.
	MTU int `json:"mtu,omitempty"`

	Device  Device   `json:"device"`
	Macvlan *Macvlan `json:"macvlan,omitempty"`
	// Overlay is set where the macvlan link is on the node's VXLAN link for a rack.
	Overlay *Overlay `json:"overlay,omitempty"`
	// VF is set where the interface is a virtual function that the pod has for itself; Before is what it was like, to be
	// restored when the pod goes.
	VF     *VF      `json:"vf,omitempty"`
	Before *VFState `json:"before,omitempty"`
	// HostDevice is set where the interface is a NIC of the node that the pod has for itself. MAC is that of the NIC then, from when
	// its state is written down, unless the pod asks for another.
	HostDevice *HostDevice `json:"hostDevice,omitempty"`
	// CNI is set where CNI plugins make the interface; MAC, Addresses, Gateways, Routes and MTU are theirs, too.
	CNI *CNI `json:"cni,omitempty"`
	// Rack that the attachment is in, empty for Networks that are not rack-local.
	Rack string `json:"rack,omitempty"`
	// QoS is set where the attachment asks for a quality of service. Alone of all it can change while the pod runs.
	QoS *QoS `json:"qos,omitempty"`
	// GSOMaxSize is that of the pod's link since it was made, 0 for the kernel's own choice.
	GSOMaxSize int `json:"gsoMaxSize,omitempty"`
}

// CNI is a configuration of CNI plugins, or a list of them, as JSON, and what the pod asks of them.
type CNI struct {
	Config string `json:"config"`
	// Device is set where the plugins need one.
	Device *PluginDevice `json:"device,omitempty"`
	// Capabilities are arguments for plugins that declare the capability, by its name. Args are for all plugins, as the object args.cni
	// in their configuration.
	Capabilities map[string]json.RawMessage `json:"capabilityArguments,omitempty"`
	Args         map[string]json.RawMessage `json:"args,omitempty"`
	// IPs and MAC are among the arguments, and those that the interface has to have. Any prefix length will do where it is -1.
	IPs []AskedIP    `json:"ips,omitempty"`
	MAC HardwareAddr `json:"mac,omitempty"`
}

// AskedIP is an address that a pod asks CNI plugins for. PrefixLen is -1 where any will do.
type AskedIP struct {
	Addr      netip.Addr `json:"addr"`
	PrefixLen int        `json:"prefixLen"`
}

// Is tells whether an address is the one that is asked for.
func (ip AskedIP) Is(address netip.Prefix) bool {
	return address.Addr() == ip.Addr && (ip.PrefixLen < 0 || ip.PrefixLen == address.Bits())
}

// HasInterface tells whether the pod gets an interface, and not a device that a program of it drives.
func (a Attachment) HasInterface() bool { return a.VF == nil || !a.VF.VFIO }

// Claim is one allocated device of a ResourceClaim, as its status has to name it.
type Claim struct {
	Name    string    `json:"name"`
	UID     types.UID `json:"uid"`
	Request string    `json:"request"`
	Pool    string    `json:"pool"`
	Device  string    `json:"device"`
	ShareID string    `json:"shareID,omitempty"`
}

// BaseRequest is the name of the request without that of its alternative, which Request has behind a slash where there are some.
func (c Claim) BaseRequest() string {
	base, _, _ := strings.Cut(c.Request, "/")
	return base
}

// Device is the NIC that carries the attachment.
type Device struct {
	// Name in the node's pool.
	Name string `json:"name"`
	// Uplink is the interface name on the node, empty for a VF.
	Uplink     string `json:"uplink,omitempty"`
	PCIAddress string `json:"pciAddress,omitempty"`
	PCIeRoot   string `json:"pcieRoot,omitempty"`
	Driver     string `json:"driver,omitempty"`
	Vendor     string `json:"vendor,omitempty"`
	NUMANode   *int32 `json:"numaNode,omitempty"`
	// LinkSpeed in bit/s, 0 for unknown.
	LinkSpeed int64 `json:"linkSpeed,omitempty"`
	// PF is the interface name of a VF's physical function and PFAddress its PCI address, VFIndex the VF's number on it.
	PF         string `json:"pf,omitempty"`
	PFAddress  string `json:"pfAddress,omitempty"`
	VFIndex    int    `json:"vfIndex,omitempty"`
	RDMADevice string `json:"rdmaDevice,omitempty"`
	// IOMMUGroup of a VF is its number and the name of its file in /dev/vfio; empty where the machine has no IOMMU.
	IOMMUGroup string `json:"iommuGroup,omitempty"`
	// Representor of a VF is its interface on the node, where its PF is in switchdev mode.
	Representor string `json:"representor,omitempty"`
}

// Macvlan is set for attachments that are a macvlan link, on Device.Uplink or on an overlay.
type Macvlan struct {
	Mode string `json:"mode"`
	// VLAN is the 802.1Q tag, 0 for untagged.
	VLAN int `json:"vlan,omitempty"`
}

// VLAN is a tagged segment that attachments of a node may share.
type VLAN struct {
	Uplink string
	ID     int
}

// VLAN returns the tagged segment that the attachment is on, and false where it is untagged.
func (a Attachment) VLAN() (VLAN, bool) {
	if a.Macvlan == nil || a.Macvlan.VLAN == 0 {
		return VLAN{}, false
	}
	return VLAN{Uplink: a.Device.Uplink, ID: a.Macvlan.VLAN}, true
}

// Overlay is a rack's VXLAN segment, as one node takes part in it. It is comparable: two attachments of a node are on one
// segment where their Overlays are equal.
type Overlay struct {
	Network string `json:"network"`
	Rack    string `json:"rack"`
	VNI     int    `json:"vni"`
	// Port is the UDP port.
	Port int `json:"port"`
	// Local is the node's own address, to which others send.
	Local netip.Addr `json:"local"`
}

// Segment is a link of the node that attachments share, and that is there only as long as one of them is planned: a VLAN
// on an uplink or an overlay. One of the two is set.
type Segment struct {
	VLAN    VLAN
	Overlay Overlay
}

// Segment returns the shared link that the attachment is on, and false where it is on an uplink itself.
func (a Attachment) Segment() (Segment, bool) {
	if a.Overlay != nil {
		return Segment{Overlay: *a.Overlay}, true
	}
	vlan, tagged := a.VLAN()
	return Segment{VLAN: vlan}, tagged
}

// Conflict is an address that another machine on the segment has.
type Conflict struct {
	Addr netip.Addr
	MAC  HardwareAddr
}

// Route goes through the attachment's interface. An invalid Via means on link.
type Route struct {
	To  netip.Prefix `json:"to"`
	Via netip.Addr   `json:"via"`
}

// HardwareAddr is a MAC that is text in JSON.
type HardwareAddr net.HardwareAddr

// MarshalText implements encoding.TextMarshaler.
func (h HardwareAddr) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. The error is that of net.ParseMAC; no text is no MAC.
func (h *HardwareAddr) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*h = nil
		return nil
	}
	mac, err := net.ParseMAC(string(text))
	*h = HardwareAddr(mac)
	return err
}

func (h HardwareAddr) String() string { return net.HardwareAddr(h).String() }

// LinkGroup is the mark of every link that the node agent makes (IFLA_GROUP, "group 28014" in ip -d link): it is set
// in the request that creates the link, so that no crash leaves a link without it.
const LinkGroup = 28014
