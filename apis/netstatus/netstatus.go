// Package netstatus is the encoding of the annotations by which pods and their readers learn the addresses of
// additional networks: k8s.v1.cni.cncf.io/network-status, in the exact bytes that its consumers know, and
// multinet.dev/pod-ips.
//
// Sources: k8snetworkplumbingwg/multi-net-spec v1.3, network-attachment-definition-client
// pkg/apis/k8s.cni.cncf.io/v1/types.go and pkg/utils/net-attach-def.go, device-info-spec SPEC.md 1.1.0.
package netstatus

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// DefaultNetwork is what the cluster's default network is called, unless the agent is told another name. The admission policy
// netattachdefs.yaml has the same.
const DefaultNetwork = "default"

// Interface is one element of network-status. The order of the fields is that of the keys.
type Interface struct {
	// Name of the network; namespace/name for a NetworkAttachmentDefinition.
	Name string `json:"name"`
	// Interface is its name in the pod.
	Interface string `json:"interface,omitempty"`
	// IPs without prefix length.
	IPs []netip.Addr `json:"ips,omitempty"`
	MAC string       `json:"mac,omitempty"`
	// MTU in bytes.
	MTU int `json:"mtu,omitempty"`
	// Default is set for the cluster's default network, which stands first.
	Default bool `json:"default,omitempty"`
	// DNS is always written, as {} where it is empty.
	DNS        DNS          `json:"dns"`
	DeviceInfo *DeviceInfo  `json:"device-info,omitempty"`
	Gateway    []netip.Addr `json:"gateway,omitempty"`
}

// DNS is what a CNI plugin says about name resolution on a network.
type DNS struct {
	Nameservers []string `json:"nameservers,omitempty"`
	Domain      string   `json:"domain,omitempty"`
	Search      []string `json:"search,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// DeviceInfo tells which device carries an interface.
type DeviceInfo struct {
	// Type is "pci" where PCI is set.
	Type string `json:"type,omitempty"`
	// Version of the device-info specification, "1.1.0".
	Version string     `json:"version,omitempty"`
	PCI     *PCIDevice `json:"pci,omitempty"`
	// Device plugins and CNI plugins tell of devices of the other types, of which Multinet makes none: they are handed on as they are.
	VDPA      json.RawMessage `json:"vdpa,omitempty"`
	VhostUser json.RawMessage `json:"vhost-user,omitempty"`
	Memif     json.RawMessage `json:"memif,omitempty"`
}

// PCIDevice is a device-info of type "pci".
type PCIDevice struct {
	Address           string `json:"pci-address,omitempty"`
	VhostNet          string `json:"vhost-net,omitempty"`
	RDMADevice        string `json:"rdma-device,omitempty"`
	PFAddress         string `json:"pf-pci-address,omitempty"`
	RepresentorDevice string `json:"representor-device,omitempty"`
}

// Encode writes a list as the reference client does: each element by itself with an indent of four spaces, and
// nothing but commas and brackets between them. The error names an interface with an invalid address, a MAC without the
// name of its interface, or a second default network.
func Encode(interfaces []Interface) (string, error) {
	elements := make([]string, 0, len(interfaces))
	defaults := 0
	for _, i := range interfaces {
		if err := i.validate(); err != nil {
			return "", err
		}
		if i.MAC != "" && i.Interface == "" {
			return "", fmt.Errorf("network-status of network %q: a MAC without the name of its interface", i.Name)
		}
		if i.Default {
			defaults++
		}
		if defaults > 1 {
			return "", fmt.Errorf("network-status of network %q: a second default network", i.Name)
		}
		text, err := json.MarshalIndent(i, "", "    ")
		if err != nil {
			return "", fmt.Errorf("network-status of interface %q: encoding: %w", i.Interface, err)
		}
		elements = append(elements, string(text))
	}
	return "[" + strings.Join(elements, ",") + "]", nil
}

// Decode reads what Encode or another implementation wrote; unknown keys are ignored.
func Decode(text string) ([]Interface, error) {
	var interfaces []Interface
	if err := json.Unmarshal([]byte(text), &interfaces); err != nil {
		return nil, fmt.Errorf("network-status: decoding: %w", err)
	}
	for _, i := range interfaces {
		if err := i.validate(); err != nil {
			return nil, err
		}
	}
	return interfaces, nil
}

// validate refuses the zero netip.Addr, which JSON would hold as "".
func (i Interface) validate() error {
	if slices.ContainsFunc(slices.Concat(i.IPs, i.Gateway), func(a netip.Addr) bool { return !a.IsValid() }) {
		return fmt.Errorf("network-status of interface %q: an address is empty", i.Interface)
	}
	return nil
}
