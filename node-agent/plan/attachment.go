package plan

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Limits of the kernel.
const (
	maxVLAN     = 4094
	maxVNI      = 1<<24 - 1
	maxPort     = 65535
	minMTU      = 68
	maxMTU      = 65535
	minIPv6MTU  = 1280 // below it the kernel takes IPv6 off the interface, RFC 8200
	macBytes    = 6
	multicastIG = 0x01 // bit of the first byte of a MAC that stands for a group
)

// Error tells which field of a PodNetworkAttachment cannot be honoured on this node.
type Error struct {
	// Attachment is namespace/name of the PodNetworkAttachment.
	Attachment string
	// Field such as "spec.addresses[1].address", and its value.
	Field string
	Value string
	// Problem is a clause such as "not a unicast address".
	Problem string
}

func (e *Error) Error() string {
	return fmt.Sprintf("attachment %s: %s %q: %s", e.Attachment, e.Field, e.Value, e.Problem)
}

var interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)

// FromAttachment returns the plan for one attachment on the device that carries it. claim is nil where the pod
// has none. What cannot be honoured is refused with an *Error; nothing is silently left out.
func FromAttachment(pna *v1alpha1.PodNetworkAttachment, device Device, claim *Claim) (Attachment, error) {
	b := builder{pna: pna.Namespace + "/" + pna.Name}
	spec := &pna.Spec
	a := Attachment{
		Name:         pna.Name,
		Network:      spec.NetworkName,
		PodClaimName: spec.PodClaimName,
		Claim:        claim,
		Interface:    b.interfaceName(string(spec.Interface)),
		Device:       device,
	}
	if spec.Type == v1alpha1.NetworkTypeCNI {
		return b.plugins(spec, a)
	}
	if spec.Type != v1alpha1.NetworkTypeHostDevice || spec.MAC != "" {
		a.MAC = b.mac(spec.MAC)
	}
	switch spec.Type {
	case v1alpha1.NetworkTypeSRIOV:
		a.VF = b.vf(spec.SRIOV, spec.QoS, device)
	case v1alpha1.NetworkTypeHostDevice:
		a.HostDevice = b.hostDevice(spec, device)
	default:
		a.Macvlan, a.Overlay = b.path(spec)
	}
	b.check(a.HasVF() || device.Uplink != "", "device", device.Name, "has no interface on this node")
	if spec.RackLocal != nil {
		a.Rack = spec.RackLocal.Rack
	}
	b.check(spec.NetworkName != "", "spec.networkName", "", "is missing")
	a.Addresses, a.Gateways = b.addresses(spec.Addresses)
	a.Routes = b.routes(spec.Routes, a.Addresses)
	a.DefaultRoutes = b.defaultRoutes(spec.DefaultRoutes, a.Addresses)
	b.check(len(a.DefaultRoutes) == 0 || a.HasInterface(), "spec.defaultRoutes", "", "a device for a program of the pod has no routes")
	a.MTU = b.mtu(spec.MTU, a.Addresses)
	if a.QoS = b.qos(spec.QoS); a.QoS != nil && a.Macvlan != nil {
		a.GSOMaxSize = a.QoS.Egress.GSOMaxSize()
	}
	if b.err != nil {
		return Attachment{}, b.err
	}
	return a, nil
}

// plugins has CNI plugins make the interface, and choose all that is asked of it otherwise.
func (b *builder) plugins(spec *v1alpha1.PodNetworkAttachmentSpec, a Attachment) (Attachment, error) {
	b.check(spec.NetworkName != "", "spec.networkName", "", "is missing")
	b.check(spec.CNI != nil, "spec.cni", "", "is missing")
	b.check(spec.QoS == nil, "spec.qos", "", "cannot be had with CNI plugins")
	b.check(len(spec.DefaultRoutes) == 0, "spec.defaultRoutes", "", "cannot be had with CNI plugins, which make the routes of their interface")
	if b.err != nil {
		return Attachment{}, b.err
	}
	a.CNI = b.cni(spec.CNI.Config, spec.CNIArguments)
	if b.err != nil {
		return Attachment{}, b.err
	}
	if resource := spec.CNI.ResourceName; resource != "" {
		b.check(spec.ResourceIndex != nil && *spec.ResourceIndex >= 0, "spec.resourceIndex", "", "is missing")
		if b.err != nil {
			return Attachment{}, b.err
		}
		a.CNI.Device = &PluginDevice{Resource: resource, Index: int(*spec.ResourceIndex)}
	}
	return a, nil
}

// builder keeps the first problem, so that the fields can be read one after the other.
type builder struct {
	pna string
	err error
}

func (b *builder) check(ok bool, field, value, problem string) {
	if !ok && b.err == nil {
		b.err = &Error{Attachment: b.pna, Field: field, Value: value, Problem: problem}
	}
}

func (b *builder) interfaceName(name string) string {
	const field = "spec.interface"
	b.check(interfaceName.MatchString(name), field, name, "not an interface name of at most 15 letters, digits, '.', '_' and '-'")
	b.check(name != "lo" && name != "eth0", field, name, "is taken in every pod")
	// They are folders beside the interfaces' own in /proc/sys/net/ipv6/conf.
	b.check(name != "all" && name != "default", field, name, "is reserved by the kernel")
	return name
}

func (b *builder) mac(text string) HardwareAddr {
	const field = "spec.mac"
	mac, err := net.ParseMAC(text)
	if err != nil || len(mac) != macBytes {
		b.check(false, field, text, "not a MAC of six bytes")
		return nil
	}
	b.check(mac[0]&multicastIG == 0, field, text, "is a group address")
	b.check(slices.ContainsFunc(mac, func(c byte) bool { return c != 0 }), field, text, "is all zero")
	return HardwareAddr(mac)
}

// path returns the link that the pod gets, and the overlay that it is on, if any.
func (b *builder) path(spec *v1alpha1.PodNetworkAttachmentSpec) (*Macvlan, *Overlay) {
	switch {
	case spec.Type == v1alpha1.NetworkTypeMacvlan && spec.Macvlan != nil:
		return b.macvlan(spec.Macvlan), nil
	case spec.Type == v1alpha1.NetworkTypeMacvlan:
		b.check(false, "spec.macvlan", "", "is missing")
	case spec.Type == v1alpha1.NetworkTypeRackLocal && spec.RackLocal != nil:
		return b.rackLocal(spec.NetworkName, spec.RackLocal)
	case spec.Type == v1alpha1.NetworkTypeRackLocal:
		b.check(false, "spec.rackLocal", "", "is missing")
	default:
		b.check(false, "spec.type", string(spec.Type), "is not supported by this node agent")
	}
	return nil, nil
}

func (b *builder) macvlan(spec *v1alpha1.MacvlanSpec) *Macvlan {
	m := &Macvlan{Mode: strings.ToLower(string(spec.Mode))}
	if m.Mode == "" {
		m.Mode = "bridge"
	}
	known := []string{"bridge", "vepa", "private", "passthru"}
	b.check(slices.Contains(known, m.Mode), "spec.macvlan.mode", string(spec.Mode), "is not a macvlan mode")
	m.VLAN = b.vlan("spec.macvlan.vlan", spec.VLAN)
	return m
}

func (b *builder) vlan(field string, vlan *int32) int {
	if vlan == nil {
		return 0
	}
	b.check(*vlan >= 1 && *vlan <= maxVLAN, field, fmt.Sprint(*vlan), "is not between 1 and 4094")
	return int(*vlan)
}

func (b *builder) rackLocal(network string, rack *v1alpha1.AttachmentRack) (*Macvlan, *Overlay) {
	b.check(rack.Rack != "", "spec.rackLocal.rack", "", "is missing")
	m := &Macvlan{Mode: "bridge"}
	if rack.Overlay == nil {
		b.check(rack.Uplink != nil, "spec.rackLocal", "", "has neither uplink nor overlay")
		if rack.Uplink != nil {
			m.VLAN = b.vlan("spec.rackLocal.uplink.vlan", rack.Uplink.VLAN)
		}
		return m, nil
	}
	const field = "spec.rackLocal.overlay"
	b.check(rack.Uplink == nil, field, "", "stands beside an uplink")
	o := &Overlay{Network: network, Rack: rack.Rack, VNI: int(rack.Overlay.VNI), Port: int(rack.Overlay.Port)}
	b.check(o.VNI >= 1 && o.VNI <= maxVNI, field+".vni", fmt.Sprint(o.VNI), "is not between 1 and 16777215")
	b.check(o.Port >= 1 && o.Port <= maxPort, field+".port", fmt.Sprint(o.Port), "is not between 1 and 65535")
	var err error
	o.Local, err = netip.ParseAddr(rack.Overlay.NodeAddress)
	b.check(err == nil && isHost(o.Local), field+".nodeAddress", rack.Overlay.NodeAddress, "not a unicast address")
	return m, o
}

func (b *builder) addresses(list []v1alpha1.AttachmentAddress) (addresses []netip.Prefix, gateways []netip.Addr) {
	for i, entry := range list {
		field := fmt.Sprintf("spec.addresses[%d]", i)
		address, err := netip.ParsePrefix(entry.Address)
		b.check(err == nil, field+".address", entry.Address, "not an address with a prefix length")
		if err != nil {
			continue
		}
		b.check(isHost(address.Addr()), field+".address", entry.Address, "not a unicast address")
		b.check(address.Bits() > 0, field+".address", entry.Address, "its subnet is the whole internet")
		same := func(p netip.Prefix) bool { return p.Addr() == address.Addr() }
		b.check(!slices.ContainsFunc(addresses, same), field+".address", entry.Address, "stands twice")
		addresses = append(addresses, address)
		if entry.Gateway == "" {
			continue
		}
		gateway, err := netip.ParseAddr(entry.Gateway)
		ok := err == nil && isHost(gateway) && gateway.Is4() == address.Addr().Is4()
		b.check(ok, field+".gateway", entry.Gateway, "not a unicast address of the family of "+entry.Address)
		b.check(!ok || address.Contains(gateway), field+".gateway", entry.Gateway, "is outside "+address.Masked().String())
		b.check(gateway != address.Addr(), field+".gateway", entry.Gateway, "is the pod's own address")
		if ok {
			gateways = append(gateways, gateway)
		}
	}
	return addresses, gateways
}

func (b *builder) routes(list []v1alpha1.Route, addresses []netip.Prefix) []Route {
	var routes []Route
	for i, entry := range list {
		field := fmt.Sprintf("spec.routes[%d]", i)
		to, err := netip.ParsePrefix(entry.To)
		ok := err == nil && !to.Addr().Is4In6() && to == to.Masked()
		b.check(ok, field+".to", entry.To, "not a prefix without host bits")
		if !ok {
			continue
		}
		same := func(r Route) bool { return r.To == to }
		b.check(!slices.ContainsFunc(routes, same), field+".to", entry.To, "stands twice")
		family := func(p netip.Prefix) bool { return p.Addr().Is4() == to.Addr().Is4() }
		b.check(slices.ContainsFunc(addresses, family), field+".to", entry.To, "the interface has no address of its family")
		routes = append(routes, Route{To: to, Via: b.nextHop(field+".via", entry.Via, to, addresses)})
	}
	return routes
}

func (b *builder) defaultRoutes(list []string, addresses []netip.Prefix) []netip.Addr {
	var gateways []netip.Addr
	for i, text := range list {
		field := fmt.Sprintf("spec.defaultRoutes[%d]", i)
		gateway, err := netip.ParseAddr(text)
		b.check(err == nil, field, text, "is not an IP address")
		same := func(other netip.Addr) bool { return other.Is4() == gateway.Is4() }
		b.check(!slices.ContainsFunc(gateways, same), field, text, "is the second of its family")
		family := func(p netip.Prefix) bool { return p.Addr().Is4() == gateway.Is4() }
		b.check(slices.ContainsFunc(addresses, family), field, text, "the interface has no address of its family")
		to := netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if gateway.Is4() {
			to = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		gateways = append(gateways, b.nextHop(field, text, to, addresses))
	}
	return gateways
}

// nextHop must be on link: the kernel refuses the route otherwise, but only in the middle of an attach.
func (b *builder) nextHop(field, text string, to netip.Prefix, addresses []netip.Prefix) netip.Addr {
	if text == "" {
		return netip.Addr{}
	}
	via, err := netip.ParseAddr(text)
	ok := err == nil && isHost(via) && via.Is4() == to.Addr().Is4()
	b.check(ok, field, text, "not a unicast address of the family of "+to.String())
	onLink := func(p netip.Prefix) bool { return p.Contains(via) && p.Addr() != via }
	b.check(!ok || isLinkLocal6(via) || slices.ContainsFunc(addresses, onLink), field, text,
		"is not a neighbour: it is in the subnet of no address of the interface")
	return via
}

func (b *builder) mtu(mtu *int32, addresses []netip.Prefix) int {
	if mtu == nil {
		return 0
	}
	const field = "spec.mtu"
	value := fmt.Sprint(*mtu)
	b.check(*mtu >= minMTU && *mtu <= maxMTU, field, value, "is not between 68 and 65535")
	has6 := slices.ContainsFunc(addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	b.check(!has6 || *mtu >= minIPv6MTU, field, value, "is below 1280, which IPv6 needs")
	return int(*mtu)
}

// isHost reports whether an interface or a neighbour can have the address.
func isHost(addr netip.Addr) bool {
	return addr.IsValid() && addr.Zone() == "" && !addr.Is4In6() && !addr.IsUnspecified() &&
		!addr.IsMulticast() && !addr.IsLoopback() && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func isLinkLocal6(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }
