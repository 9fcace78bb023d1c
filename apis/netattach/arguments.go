package netattach

import (
	"encoding/json"
	"net/netip"

	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Capabilities of the CNI conventions that have an argument in a pod's selection.
const (
	CapabilityIPs            = "ips"
	CapabilityMAC            = "mac"
	CapabilityInfinibandGUID = "infinibandGUID"
	CapabilityPortMappings   = "portMappings"
	CapabilityBandwidth      = "bandwidth"
)

// Capabilities are those that a configuration, or a plugin of a list, declares. There are none in what libcni does not read.
func Capabilities(config string) map[string]bool {
	type plugin struct {
		Capabilities map[string]bool `json:"capabilities"`
	}
	var list struct {
		plugin
		Plugins []plugin `json:"plugins"`
	}
	if json.Unmarshal([]byte(config), &list) != nil {
		return nil
	}
	if len(list.Plugins) == 0 {
		list.Plugins = []plugin{list.plugin}
	}
	declared := map[string]bool{}
	for _, p := range list.Plugins {
		for capability, is := range p.Capabilities {
			declared[capability] = declared[capability] || is
		}
	}
	return declared
}

// Arguments are what an element asks of CNI plugins, nil for nothing.
func Arguments(e npwg.Element) *v1alpha1.CNIArguments {
	a := v1alpha1.CNIArguments{MAC: e.MAC.String(), InfinibandGUID: e.InfinibandGUID.String(), Args: string(e.CNIArgs)}
	for _, ip := range e.IPs {
		a.IPs = append(a.IPs, ipText(ip))
	}
	for _, m := range e.PortMappings {
		mapping := v1alpha1.CNIPortMapping{HostPort: int32(m.HostPort), ContainerPort: int32(m.ContainerPort), Protocol: m.Protocol}
		if m.HostIP.IsValid() {
			mapping.HostIP = m.HostIP.String()
		}
		a.PortMappings = append(a.PortMappings, mapping)
	}
	if b := e.Bandwidth; b != nil {
		a.Bandwidth = &v1alpha1.CNIBandwidth{IngressRate: b.IngressRate, IngressBurst: b.IngressBurst, EgressRate: b.EgressRate, EgressBurst: b.EgressBurst}
	}
	if len(CapabilityArguments(&a)) == 0 && a.Args == "" {
		return nil
	}
	return &a
}

func ipText(ip npwg.IP) string {
	if ip.PrefixLen < 0 {
		return ip.Addr.String()
	}
	return netip.PrefixFrom(ip.Addr, ip.PrefixLen).String()
}

// CapabilityArguments are the arguments by the name of the capability.
func CapabilityArguments(a *v1alpha1.CNIArguments) map[string]any {
	arguments := map[string]any{}
	if a == nil {
		return arguments
	}
	if len(a.IPs) > 0 {
		arguments[CapabilityIPs] = a.IPs
	}
	if a.MAC != "" {
		arguments[CapabilityMAC] = a.MAC
	}
	if a.InfinibandGUID != "" {
		arguments[CapabilityInfinibandGUID] = a.InfinibandGUID
	}
	if len(a.PortMappings) > 0 {
		arguments[CapabilityPortMappings] = a.PortMappings
	}
	if a.Bandwidth != nil {
		arguments[CapabilityBandwidth] = a.Bandwidth
	}
	return arguments
}

// keyOf is the key of an element that asks for a capability.
func keyOf(capability string) string {
	if capability == CapabilityInfinibandGUID {
		return "infiniband-guid"
	}
	return capability
}

// plugins says what CNI plugins cannot be asked for.
func (f *fit) plugins(config string) {
	declared := Capabilities(config)
	for capability := range CapabilityArguments(Arguments(f.element)) {
		if !declared[capability] {
			f.refuse(keyOf(capability), `no plugin of the network declares the capability %[1]q: write "capabilities": {%[1]q: true} to a plugin that has it`, capability)
		}
	}
	tooMany := func(key string, n, limit int, what string) {
		if n > limit {
			f.refuse(key, "has %d %s, and a pod can ask for %d", n, what, limit)
		}
	}
	tooMany("ips", len(f.element.IPs), v1alpha1.MaxCNIIPs, "addresses")
	tooMany("portMappings", len(f.element.PortMappings), v1alpha1.MaxCNIPortMappings, "ports")
	tooMany("cni-args", len(f.element.CNIArgs), v1alpha1.MaxCNIArgs, "bytes")
	if f.element.DefaultRoute != nil {
		f.refuse("default-route", "CNI plugins make the routes of their interface: write the route into the configuration of the network")
	}
}
