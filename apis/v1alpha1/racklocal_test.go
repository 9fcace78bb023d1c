package v1alpha1_test

import (
	"maps"
	"strings"
)

var (
	overlay   = object{"overlay": object{}}
	rackWired = object{"uplink": object{"names": list{"eth1"}}}
)

// rackLocal makes the valid Network one of type RackLocal; later members replace those of the same name before.
func rackLocal(members ...object) edits {
	all := object{}
	for _, m := range members {
		maps.Copy(all, m)
	}
	return edits{"spec.type": "RackLocal", "spec.macvlan": nil, "spec.rackLocal": all}
}

func vnis(first, last int64) object {
	return object{"overlay": object{"vnis": object{"first": first, "last": last}}}
}

func port(n int64) object { return object{"overlay": object{"port": n}} }

func prefixes(family string, bits int64) object { return object{"prefixLength": object{family: bits}} }

func topologyKey(key string) object { return object{"topologyKey": key} }

// with is e and more fields of the object.
func (e edits) with(more edits) edits {
	all := maps.Clone(e)
	maps.Copy(all, more)
	return all
}

const (
	pathKept     = "the path of a RackLocal Network is immutable"
	overlayKept  = "spec.rackLocal.overlay is immutable"
	lengthKept   = "spec.rackLocal.prefixLength is immutable"
	outOfPattern = "spec.rackLocal.topologyKey in body should match"
)

var rackLocalCases = map[string]validationCase{
	"rack overlay":              {kind: "Network", edit: rackLocal(overlay)},
	"rack uplink":               {kind: "Network", edit: rackLocal(rackWired)},
	"rack without a path":       {kind: "Network", edit: rackLocal(), want: "exactly one of uplink and overlay must be set"},
	"rack with two paths":       {kind: "Network", edit: rackLocal(overlay, rackWired), want: "exactly one of uplink and overlay must be set"},
	"rack type without member":  {kind: "Network", edit: edits{"spec.type": "RackLocal", "spec.macvlan": nil}, want: "spec.rackLocal must be set exactly when spec.type is RackLocal"},
	"rack member of other type": {kind: "Network", edit: edits{"spec.rackLocal": overlay}, want: "spec.rackLocal must be set exactly when spec.type is RackLocal"},
	"rack with macvlan":         {kind: "Network", edit: edits{"spec.type": "RackLocal", "spec.rackLocal": overlay}, want: "spec.macvlan must be set exactly when spec.type is Macvlan"},
	"rack uplink by nothing":    {kind: "Network", edit: rackLocal(object{"uplink": object{}}), want: "a selector of NICs must set at least one of names, macs, pciAddresses, driver, minLinkSpeed"},
	"rack uplink changed":       {kind: "Network", edit: rackLocal(rackWired), update: rackLocal(object{"uplink": object{"driver": "mlx5_core"}})},
	"rack path changed":         {kind: "Network", edit: rackLocal(rackWired), update: rackLocal(overlay), want: pathKept},
	"rack path changed back":    {kind: "Network", edit: rackLocal(overlay), update: rackLocal(rackWired), want: pathKept},
	"rack vlan added":           {kind: "Network", edit: rackLocal(rackWired), update: edits{"spec.rackLocal.uplink.vlan": int64(7)}, want: pathKept},
	"rack vlan changed":         {kind: "Network", edit: rackLocal(object{"uplink": object{"names": list{"eth1"}, "vlan": int64(7)}}), update: edits{"spec.rackLocal.uplink.vlan": int64(8)}, want: pathKept},
	"rack vlan kept":            {kind: "Network", edit: rackLocal(object{"uplink": object{"names": list{"eth1"}, "vlan": int64(7)}}), update: edits{"spec.mtu": int64(1400)}},
	"rack vlan 4095":            {kind: "Network", edit: rackLocal(object{"uplink": object{"names": list{"eth1"}, "vlan": int64(4095)}}), want: "should be less than or equal to 4094"},
	"rack network without ipam": {kind: "Network", edit: rackLocal(overlay).with(edits{"spec.ipam": nil})},

	"rack key hostname":          {kind: "Network", edit: rackLocal(overlay, topologyKey("kubernetes.io/hostname"))},
	"rack key of longest parts":  {kind: "Network", edit: rackLocal(overlay, topologyKey(strings.Repeat("d", 63)+"/"+strings.Repeat("n", 32)))},
	"rack key, long domain":      {kind: "Network", edit: rackLocal(overlay, topologyKey(strings.Repeat("d", 64)+"/n")), want: outOfPattern},
	"rack key, long name":        {kind: "Network", edit: rackLocal(overlay, topologyKey("d/"+strings.Repeat("n", 33))), want: outOfPattern},
	"rack key without domain":    {kind: "Network", edit: rackLocal(overlay, topologyKey("rack")), want: outOfPattern},
	"rack key with number first": {kind: "Network", edit: rackLocal(overlay, topologyKey("example.com/1st")), want: outOfPattern},
	"rack key of our devices":    {kind: "Network", edit: rackLocal(overlay, topologyKey("multinet.dev/kind")), want: "spec.rackLocal.topologyKey must not be in the domain multinet.dev"},
	"rack key below our domain":  {kind: "Network", edit: rackLocal(overlay, topologyKey("topology.multinet.dev/row"))},
	"rack key as defaulted":      {kind: "Network", edit: rackLocal(overlay), update: edits{"spec.rackLocal.topologyKey": "topology.multinet.dev/rack"}},
	"rack key changed":           {kind: "Network", edit: rackLocal(overlay), update: edits{"spec.rackLocal.topologyKey": "kubernetes.io/hostname"}, want: "spec.rackLocal.topologyKey is immutable: create another Network"},

	"rack vnis, whole range":   {kind: "Network", edit: rackLocal(vnis(1, 16777215))},
	"rack vnis, one":           {kind: "Network", edit: rackLocal(vnis(9, 9))},
	"rack vnis, last first":    {kind: "Network", edit: rackLocal(vnis(10, 9)), want: "first must not be greater than last"},
	"rack vnis, 0":             {kind: "Network", edit: rackLocal(vnis(0, 9)), want: "should be greater than or equal to 1"},
	"rack vnis, 25 bits":       {kind: "Network", edit: rackLocal(vnis(1, 16777216)), want: "should be less than or equal to 16777215"},
	"rack vnis, without last":  {kind: "Network", edit: rackLocal(object{"overlay": object{"vnis": object{"first": int64(1)}}}), want: "spec.rackLocal.overlay.vnis.last: Required value"},
	"rack vnis as defaulted":   {kind: "Network", edit: rackLocal(overlay), update: rackLocal(overlay)},
	"rack vnis, first changed": {kind: "Network", edit: rackLocal(vnis(1, 9)), update: rackLocal(vnis(2, 9)), want: overlayKept},
	"rack vnis, last changed":  {kind: "Network", edit: rackLocal(vnis(1, 9)), update: rackLocal(vnis(1, 10)), want: overlayKept},
	"rack vnis taken away":     {kind: "Network", edit: rackLocal(vnis(1, 9)), update: rackLocal(overlay), want: overlayKept},
	"rack port":                {kind: "Network", edit: rackLocal(port(65535))},
	"rack port 0":              {kind: "Network", edit: rackLocal(port(0)), want: "should be greater than or equal to 1"},
	"rack port changed":        {kind: "Network", edit: rackLocal(port(8472)), update: rackLocal(port(4789)), want: overlayKept},

	"rack prefixes":            {kind: "Network", edit: rackLocal(overlay, object{"prefixLength": object{"ipv4": int64(30), "ipv6": int64(126)}})},
	"rack prefixes kept":       {kind: "Network", edit: rackLocal(overlay, prefixes("ipv4", 26)), update: edits{"spec.mtu": int64(1400)}},
	"rack prefix of 31":        {kind: "Network", edit: rackLocal(overlay, prefixes("ipv4", 31)), want: "should be less than or equal to 30"},
	"rack prefix of 7":         {kind: "Network", edit: rackLocal(overlay, prefixes("ipv4", 7)), want: "should be greater than or equal to 8"},
	"rack prefix of 127":       {kind: "Network", edit: rackLocal(overlay, prefixes("ipv6", 127)), want: "should be less than or equal to 126"},
	"rack prefix of 15":        {kind: "Network", edit: rackLocal(overlay, prefixes("ipv6", 15)), want: "should be greater than or equal to 16"},
	"rack prefixes changed":    {kind: "Network", edit: rackLocal(overlay, prefixes("ipv4", 26)), update: rackLocal(overlay, prefixes("ipv4", 27)), want: lengthKept},
	"rack prefixes added":      {kind: "Network", edit: rackLocal(overlay), update: rackLocal(overlay, prefixes("ipv6", 64)), want: lengthKept},
	"rack prefixes taken away": {kind: "Network", edit: rackLocal(overlay, prefixes("ipv6", 64)), update: rackLocal(overlay), want: lengthKept},

	"sticky":                {kind: "Network", edit: edits{"spec.ipam.sticky": "PodName", "spec.ipam.retention": "1s"}},
	"sticky by a word":      {kind: "Network", edit: edits{"spec.ipam.sticky": "Node"}, want: `supported values: "PodName"`},
	"sticky in racks":       {kind: "Network", edit: rackLocal(overlay).with(edits{"spec.ipam.sticky": "PodName"}), want: "spec.ipam.sticky cannot be had with type RackLocal"},
	"sticky given up":       {kind: "Network", edit: edits{"spec.ipam.sticky": "PodName"}, update: edits{"spec.ipam.sticky": nil}},
	"retention of a year":   {kind: "Network", edit: edits{"spec.ipam.retention": "8760h"}},
	"retention too long":    {kind: "Network", edit: edits{"spec.ipam.retention": "8760h1s"}, want: "retention must be between 1s and 8760h"},
	"retention too short":   {kind: "Network", edit: edits{"spec.ipam.retention": "999ms"}, want: "retention must be between 1s and 8760h"},
	"retention a word":      {kind: "Network", edit: edits{"spec.ipam.retention": "long"}, want: "retention must be between 1s and 8760h"},
	"rack of an attachment": {kind: "PodNetworkAttachment", edit: edits{"spec.rackLocal": object{"rack": strings.Repeat("r", 63), "overlay": object{"vni": int64(16777215), "port": int64(4789), "nodeAddress": "fd00::1"}}}},
	"rack without name":     {kind: "PodNetworkAttachment", edit: edits{"spec.rackLocal": object{"rack": ""}}, want: "should be at least 1 chars long"},
	"rack with vni 0":       {kind: "PodNetworkAttachment", edit: edits{"spec.rackLocal": object{"rack": "r", "overlay": object{"vni": int64(0), "port": int64(4789), "nodeAddress": "fd00::1"}}}, want: "should be greater than or equal to 1"},
}
