package sandboxes

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// PathInContainer is where every container of a pod with networks finds its networks.json.
const PathInContainer = "/run/multinet/networks.json"

// Files is the folder that holds <podUID>/networks.json for each pod.
type Files struct{ Dir string }

// networksFile is the content of networks.json:
//
//	{"networks":[{"networkName":"storage","interface":"net1","mac":"02:…","mtu":1500,"addresses":["10.20.0.5/24"],
//	  "gateways":["10.20.0.1"],"routes":[{"to":"10.30.0.0/16","via":"10.20.0.1"}],"device":{"name":"eth1","uplink":"eth1"}}]}
//
// The order is that of the pod's selection. via is missing for a route on link.
type networksFile struct {
	Networks []networkInFile `json:"networks"`
}

type networkInFile struct {
	NetworkName string            `json:"networkName"`
	Interface   string            `json:"interface"`
	MAC         plan.HardwareAddr `json:"mac"`
	MTU         int               `json:"mtu,omitempty"`
	Addresses   []netip.Prefix    `json:"addresses"`
	Gateways    []netip.Addr      `json:"gateways,omitempty"`
	Routes      []routeInFile     `json:"routes,omitempty"`
	Device      plan.Device       `json:"device"`
}

type routeInFile struct {
	To  netip.Prefix `json:"to"`
	Via *netip.Addr  `json:"via,omitempty"`
}

func encodeNetworks(made []publish.Interface) ([]byte, error) {
	file := networksFile{Networks: []networkInFile{}}
	for _, m := range made {
		n := networkInFile{
			NetworkName: m.Plan.Network, Interface: m.Plan.Interface, MAC: m.MAC, MTU: m.MTU,
			Addresses: append([]netip.Prefix{}, m.Addresses...), Gateways: slices.Concat(m.Plan.Gateways, m.Gateways), Device: m.Plan.Device,
		}
		for _, r := range m.Plan.Routes {
			route := routeInFile{To: r.To}
			if r.Via.IsValid() {
				route.Via = &r.Via
			}
			n.Routes = append(n.Routes, route)
		}
		file.Networks = append(file.Networks, n)
	}
	data, err := json.MarshalIndent(file, "", "  ")
	return append(data, '\n'), err
}

func (f Files) path(podUID types.UID) string {
	return filepath.Join(f.Dir, string(podUID), "networks.json")
}

// Write writes a pod's networks.json in place: containers have the file itself mounted, so that a file renamed
// over it would never be seen by them. It stays writable for its owner, since the agent runs without CAP_DAC_OVERRIDE.
func (f Files) Write(podUID types.UID, made []publish.Interface) (path string, err error) {
	path = f.path(podUID)
	data, err := encodeNetworks(made)
	if err != nil {
		return "", fmt.Errorf("encode %s: %w", path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	_, err = file.WriteAt(data, 0)
	if err := errors.Join(err, file.Truncate(int64(len(data))), file.Close()); err != nil {
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return path, nil
}

// Remove removes what Write wrote. What is absent is removed.
func (f Files) Remove(podUID types.UID) { _ = os.RemoveAll(filepath.Dir(f.path(podUID))) }
