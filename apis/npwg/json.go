package npwg

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

func (p *parser) parseJSON() {
	list, err := jsonpos.Parse(p.value)
	if err != nil {
		var syntax *jsonpos.Error
		errors.As(err, &syntax)
		p.refuse(syntax.At, 0, "", "it holds one of [ { \" and so must be a JSON list: %s", syntax.Problem)
		return
	}
	if list.Kind != jsonpos.Array {
		p.refuse(list.At, 0, "", "it is %s, where a JSON list is needed", list.Kind)
		return
	}
	for i, item := range list.Items {
		var problems []jsonpos.Problem
		p.elements = append(p.elements, p.readElement(item, &problems))
		for _, problem := range problems {
			p.refuse(problem.At, i+1, problem.Path, "%s", problem.Text)
		}
	}
}

func (p *parser) readElement(item jsonpos.Value, problems *[]jsonpos.Problem) Element {
	e := Element{At: item.At, Keys: map[string]jsonpos.Position{}}
	for _, m := range item.Members {
		e.Keys[m.Key] = m.Value.At
	}
	f := jsonpos.NewFields(item, "", problems)
	if item.Kind != jsonpos.Object {
		return e
	}
	e.readNames(f)
	e.readAddresses(f)
	e.PortMappings = readPortMappings(f)
	e.Bandwidth = readBandwidth(f)
	if args, found := f.Object("cni-args"); found {
		if err := json.NewDecoder(strings.NewReader(p.value[args.At.Offset:])).Decode(&e.CNIArgs); err != nil {
			f.Refuse("cni-args", "%v", err)
		}
	}
	refuseUnknown(f)
	return e
}

func (e *Element) readNames(f *jsonpos.Fields) {
	e.Name, _ = f.Text("name")
	e.Namespace, _ = f.Text("namespace")
	if problem := NameProblem(e.Name, ""); problem != "" {
		f.Refuse("name", "%s", problem)
	}
	if problem := NameProblem("x", e.Namespace); problem != "" {
		f.Refuse("namespace", "%s", problem)
	}
	if name, found := f.Text("interface"); found {
		if problem := interfaceProblem(name); problem != "" {
			f.Refuse("interface", "%s", problem)
		}
		e.Interface = name
	}
}

func (e *Element) readAddresses(f *jsonpos.Fields) {
	addresses, found := f.List("ips")
	if found && len(addresses) == 0 {
		f.Refuse("ips", "is empty, where at least one address is needed")
	}
	for _, a := range addresses {
		if text, isString := a.Text(); isString {
			ip, err := parseIP(text)
			if err != nil {
				a.Refuse("%q is not an IP address", text)
			}
			e.IPs = append(e.IPs, ip)
		}
	}
	e.MAC = readHardware(f, "mac", 6, 20)
	e.InfinibandGUID = readHardware(f, "infiniband-guid", 8)
	gateways, found := f.List("default-route")
	if found {
		e.DefaultRoute = []netip.Addr{}
	}
	for _, g := range gateways {
		if text, isString := g.Text(); isString {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				g.Refuse("%q is not an IP address", text)
			}
			e.DefaultRoute = append(e.DefaultRoute, addr)
		}
	}
	e.IPAMClaim, found = f.Text("ipam-claim-reference")
	if found && len(e.IPs) > 0 {
		f.Refuse("ipam-claim-reference", "cannot be had together with ips")
	}
}

// parseIP takes an address with or without prefix length: the specification shows the latter, plugins want the former.
func parseIP(text string) (IP, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return IP{Addr: p.Addr(), PrefixLen: p.Bits()}, err
	}
	a, err := netip.ParseAddr(text)
	return IP{Addr: a, PrefixLen: -1}, err
}

func readHardware(f *jsonpos.Fields, key string, lengths ...int) net.HardwareAddr {
	text, found := f.Text(key)
	if !found {
		return nil
	}
	address, err := net.ParseMAC(text)
	if err != nil || !slices.Contains(lengths, len(address)) {
		f.Refuse(key, "%q is not a hardware address of %s bytes", text, strings.Trim(strings.ReplaceAll(fmt.Sprint(lengths), " ", " or "), "[]"))
	}
	return address
}

func readPortMappings(f *jsonpos.Fields) (mappings []PortMapping) {
	items, _ := f.List("portMappings")
	for _, item := range items {
		g := item.Fields()
		mapping := PortMapping{HostPort: readPort(g, "hostPort"), ContainerPort: readPort(g, "containerPort"), Protocol: "tcp"}
		if protocol, found := g.Text("protocol"); found {
			mapping.Protocol = strings.ToLower(protocol)
			if !slices.Contains([]string{"tcp", "udp", "sctp"}, mapping.Protocol) {
				g.Refuse("protocol", "%q is not tcp, udp or sctp", protocol)
			}
		}
		if text, found := g.Text("hostIP"); found {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				g.Refuse("hostIP", "%q is not an IP address", text)
			}
			mapping.HostIP = addr
		}
		refuseUnknown(g)
		mappings = append(mappings, mapping)
	}
	return mappings
}

func readPort(f *jsonpos.Fields, key string) int {
	port, found := f.Int(key, math.MaxUint16)
	if found && port == 0 || !f.Has(key) {
		f.Refuse(key, "a port from 1 to %d is needed", math.MaxUint16)
	}
	return int(port)
}

func readBandwidth(f *jsonpos.Fields) *Bandwidth {
	g, found := f.Object("bandwidth")
	if !found {
		return nil
	}
	var b Bandwidth
	for key, target := range map[string]*int64{
		"ingressRate": &b.IngressRate, "ingressBurst": &b.IngressBurst, "egressRate": &b.EgressRate, "egressBurst": &b.EgressBurst,
	} {
		*target, _ = g.Int(key, math.MaxInt64)
	}
	refuseUnknown(g)
	return &b
}

// refuseUnknown: keys without a period are reserved, those with one belong to others and are left alone (section
// 4.1.2.1). A misspelt key that was ignored would be a wish that nobody hears.
func refuseUnknown(f *jsonpos.Fields) {
	for _, m := range f.Unasked() {
		if !strings.Contains(m.Key, ".") {
			f.Refuse(m.Key, "the specification knows no such key")
		}
	}
}
