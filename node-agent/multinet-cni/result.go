package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"

	"github.com/multinet-dev/multinet/apis/agent"
)

// result is prevResult as it came, to the byte. The runtime reads the pod's own addresses from the result, so the interfaces
// of further networks do not belong there; and keys that a newer specification adds pass.
func (r request) result() []byte {
	var has struct {
		CNIVersion string `json:"cniVersion"`
	}
	previous := bytes.TrimSpace(r.config.Previous)
	if json.Unmarshal(previous, &has) == nil && has.CNIVersion != "" {
		return append(bytes.Clone(previous), '\n')
	}
	version := fmt.Sprintf(`{"cniVersion":%q`, r.config.CNIVersion)
	rest := bytes.TrimSpace(previous[1:])
	if rest[0] != '}' {
		version += ","
	}
	return append(append([]byte(version), rest...), '\n')
}

// ipsOf returns the addresses that prevResult has for an interface of the pod, without prefix length.
func ipsOf(previous json.RawMessage, iface string) (ips []string, err error) {
	var result *struct {
		Interfaces []struct {
			Name string `json:"name"`
		} `json:"interfaces"`
		IPs []struct {
			Address   string `json:"address"`
			Interface *int   `json:"interface"`
		} `json:"ips"`
	}
	if err := json.Unmarshal(previous, &result); err != nil {
		return nil, err
	}
	if result == nil {
		return nil, fmt.Errorf("it is null")
	}
	for _, ip := range result.IPs {
		prefix, err := netip.ParsePrefix(ip.Address)
		if err != nil {
			return nil, fmt.Errorf("ips: %w", err)
		}
		if n := ip.Interface; n != nil && *n >= 0 && *n < len(result.Interfaces) && result.Interfaces[*n].Name != iface {
			continue
		}
		ips = append(ips, prefix.Addr().String())
	}
	return ips, nil
}

// version answers VERSION.
func (r request) version() []byte {
	text, err := json.Marshal(struct {
		CNIVersion string   `json:"cniVersion"`
		Supported  []string `json:"supportedVersions"`
	}{r.config.CNIVersion, agent.Versions})
	if err != nil {
		panic(err) // strings can always be encoded
	}
	return append(text, '\n')
}
