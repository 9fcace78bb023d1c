package delegate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/containernetworking/cni/libcni"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// parse reads a configuration, or a list of them, as libcni does, and the types of the plugins in it. The pod's arguments for all plugins
// and the device that they get are put into it.
func parse(c plan.CNI) (list *libcni.NetworkConfigList, types []string, err error) {
	list, err = libcni.NetworkConfFromBytes([]byte(c.Config))
	if err == nil && len(list.Plugins) == 0 {
		var one *libcni.PluginConfig
		if one, err = libcni.NetworkPluginConfFromBytes([]byte(c.Config)); err == nil {
			list, err = libcni.ConfListFromConf(one) //nolint:staticcheck // NetworkAttachmentDefinitions may hold one that is no list.
		}
	}
	if err == nil {
		err = errors.Join(addArgs(list, c.Args), addDevice(list, c.Device))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the Network's spec.cni.config: %w", err)
	}
	for _, plugin := range list.Plugins {
		types = append(types, plugin.Network.Type)
		if ipam := plugin.Network.IPAM.Type; ipam != "" {
			types = append(types, ipam)
		}
	}
	return list, types, nil
}

// addArgs puts arguments beside those that each plugin has in args.cni, and in the place of those of the same name.
func addArgs(list *libcni.NetworkConfigList, args map[string]json.RawMessage) error {
	if len(args) == 0 {
		return nil
	}
	for i, plugin := range list.Plugins {
		var has struct {
			Args map[string]json.RawMessage `json:"args"`
		}
		cni := map[string]json.RawMessage{}
		if err := json.Unmarshal(plugin.Bytes, &has); err != nil {
			return fmt.Errorf("plugin %q: args: %w", plugin.Network.Type, err)
		}
		if text := has.Args["cni"]; text != nil {
			if err := json.Unmarshal(text, &cni); err != nil {
				return fmt.Errorf("plugin %q: args.cni: %w", plugin.Network.Type, err)
			}
		}
		all := map[string]any{}
		for key, value := range has.Args {
			all[key] = value
		}
		maps.Copy(cni, args)
		all["cni"] = cni
		with, err := libcni.InjectConf(plugin, map[string]any{"args": all})
		if err != nil {
			return fmt.Errorf("plugin %q: args: %w", plugin.Network.Type, err)
		}
		list.Plugins[i] = with
	}
	return nil
}

func knowsCheck(list *libcni.NetworkConfigList) bool {
	knows, err := version.GreaterThanOrEqualTo(list.CNIVersion, "0.4.0")
	return err == nil && knows
}

// arguments are those that container runtimes and Multus give as well.
func (p *Plugins) arguments(r Record) *libcni.RuntimeConf {
	s := r.Sandbox
	return &libcni.RuntimeConf{CapabilityArgs: p.capabilities(r), ContainerID: s.ID, NetNS: s.NetNS, IfName: r.Interface, Args: [][2]string{
		{"IgnoreUnknown", "1"}, {"K8S_POD_NAMESPACE", s.Namespace}, {"K8S_POD_NAME", s.Name},
		{"K8S_POD_INFRA_CONTAINER_ID", s.ID}, {"K8S_POD_UID", string(s.PodUID)},
	}}
}

// madeOf joins what plugins tell with what the kernel has.
func (p *Plugins) madeOf(r Record, told types.Result, begin time.Time) (*Made, error) {
	result, err := current.NewResultFromResult(told)
	if err != nil {
		return nil, fmt.Errorf("read the plugins' result: %w", err)
	}
	made := &Made{DNS: dnsOf(result.DNS)}
	if made.DeviceInfo, err = p.DeviceInfo.End(r.Sandbox, r.attachment()); err != nil {
		return nil, err
	}
	for _, ip := range result.IPs {
		if ip.Interface != nil && *ip.Interface >= 0 && *ip.Interface < len(result.Interfaces) && result.Interfaces[*ip.Interface].Name != r.Interface {
			continue
		}
		address, err := prefixOf(ip.Address)
		if err != nil {
			return nil, fmt.Errorf("read the plugins' result: %w", err)
		}
		made.Addresses = append(made.Addresses, address)
		if gateway, ok := netip.AddrFromSlice(ip.Gateway); ok && !slices.Contains(made.Gateways, gateway.Unmap()) {
			made.Gateways = append(made.Gateways, gateway.Unmap())
		}
	}
	seen, found, err := p.Options.Look(r.Sandbox.NetNS, r.Interface)
	if err != nil {
		return nil, fmt.Errorf("read the interface: %w", err)
	}
	made.HasLink, made.MAC, made.MTU = found, plan.HardwareAddr(seen.MAC), seen.MTU
	made.At, made.Duration = time.Now(), time.Since(begin)
	return made, r.honoured(made)
}

// honoured tells what of the pod's demands the plugins have not done, where that can be seen: plugins may pass over arguments.
func (r Record) honoured(made *Made) error {
	for _, ip := range r.IPs {
		if !slices.ContainsFunc(made.Addresses, ip.Is) {
			return fmt.Errorf("the pod asks for %s, which the plugins did not give: they gave %v", ip.Addr, made.Addresses)
		}
	}
	if r.MAC != nil && made.HasLink && !slices.Equal(r.MAC, made.MAC) {
		return fmt.Errorf("the pod asks for MAC %s, which the plugins did not give: it has %s", r.MAC, made.MAC)
	}
	return nil
}

func prefixOf(n net.IPNet) (netip.Prefix, error) {
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if !ok || bits == 0 {
		return netip.Prefix{}, fmt.Errorf("%q is not an address with a prefix length", n.String())
	}
	return netip.PrefixFrom(addr.Unmap(), ones), nil
}

func dnsOf(d types.DNS) netstatus.DNS {
	return netstatus.DNS{Nameservers: d.Nameservers, Domain: d.Domain, Search: d.Search, Options: d.Options}
}
