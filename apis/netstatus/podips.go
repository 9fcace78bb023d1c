package netstatus

import (
	"encoding/json"
	"fmt"
	"net/netip"
)

// PodIP is one element of multinet.dev/pod-ips: one address of an additional network. The shape is that of
// networking.gke.io/pod-ips, with the interface added.
type PodIP struct {
	NetworkName string     `json:"networkName"`
	Interface   string     `json:"interface"`
	IP          netip.Addr `json:"ip"`
}

// EncodePodIPs writes a list without white space; an empty one is [].
func EncodePodIPs(ips []PodIP) (string, error) {
	for _, ip := range ips {
		if !ip.IP.IsValid() {
			return "", fmt.Errorf("pod-ips: network %q interface %q: the address is empty", ip.NetworkName, ip.Interface)
		}
	}
	if ips == nil {
		ips = []PodIP{}
	}
	text, err := json.Marshal(ips)
	if err != nil {
		return "", fmt.Errorf("pod-ips: encoding: %w", err)
	}
	return string(text), nil
}

// DecodePodIPs reads what EncodePodIPs wrote.
func DecodePodIPs(text string) ([]PodIP, error) {
	var ips []PodIP
	if err := json.Unmarshal([]byte(text), &ips); err != nil {
		return nil, fmt.Errorf("pod-ips: decoding: %w", err)
	}
	for _, ip := range ips {
		if !ip.IP.IsValid() {
			return nil, fmt.Errorf("pod-ips: network %q interface %q: the address is empty", ip.NetworkName, ip.Interface)
		}
	}
	return ips, nil
}
