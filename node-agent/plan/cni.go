package plan

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// cni refuses arguments that no plugin declares: libcni would leave them out, and nobody would know.
func (b *builder) cni(config string, arguments *v1alpha1.CNIArguments) *CNI {
	c := &CNI{Config: config}
	if arguments == nil {
		return c
	}
	const field = "spec.cniArguments"
	declared := netattach.Capabilities(config)
	for capability, value := range netattach.CapabilityArguments(arguments) {
		b.check(declared[capability], field+"."+capability, "", "no plugin of spec.cni.config declares the capability")
		text, err := json.Marshal(value)
		b.check(err == nil, field+"."+capability, "", "cannot be written as JSON")
		if c.Capabilities == nil {
			c.Capabilities = map[string]json.RawMessage{}
		}
		c.Capabilities[capability] = text
	}
	for _, text := range arguments.IPs {
		ip, err := askedIP(text)
		b.check(err == nil, field+".ips", text, "is not an IP address")
		c.IPs = append(c.IPs, ip)
	}
	if arguments.MAC != "" {
		mac, err := net.ParseMAC(arguments.MAC)
		b.check(err == nil, field+".mac", arguments.MAC, "is not a hardware address")
		c.MAC = HardwareAddr(mac)
	}
	if arguments.Args != "" {
		b.check(json.Unmarshal([]byte(arguments.Args), &c.Args) == nil && c.Args != nil, field+".args", arguments.Args, "is not a JSON object")
	}
	return c
}

func askedIP(text string) (AskedIP, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return AskedIP{p.Addr(), p.Bits()}, err
	}
	addr, err := netip.ParseAddr(text)
	return AskedIP{addr, -1}, err
}
