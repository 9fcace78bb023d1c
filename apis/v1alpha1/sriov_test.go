package v1alpha1_test

import "maps"

// sriov makes the valid Network one of type SRIOV that takes any VF of ens9; members come on top.
func sriov(members ...object) edits {
	all := object{"device": object{"pfNames": list{"ens9"}}}
	for _, m := range members {
		maps.Copy(all, m)
	}
	return edits{"spec.type": "SRIOV", "spec.macvlan": nil, "spec.sriov": all}
}

func vfs(selector object) edits { return sriov(object{"device": selector}) }

const (
	sriovUnion = "spec.sriov must be set exactly when spec.type is SRIOV"
	sriovVLAN  = "spec.sriov.vlan is immutable: pods of two VLANs would share one address range"
	sriovType  = "spec.sriov.deviceType is immutable: create another Network"
	sriovRDMA  = "rdma needs deviceType NetDevice: an RDMA device belongs to a kernel driver"
)

var sriovCases = map[string]validationCase{
	"sriov":                       {kind: "Network", edit: sriov()},
	"sriov without addresses":     {kind: "Network", edit: sriov().with(edits{"spec.ipam": nil})},
	"sriov type without member":   {kind: "Network", edit: edits{"spec.type": "SRIOV", "spec.macvlan": nil}, want: sriovUnion},
	"sriov member of other type":  {kind: "Network", edit: edits{"spec.sriov": sriov()["spec.sriov"]}, want: sriovUnion},
	"sriov with macvlan":          {kind: "Network", edit: edits{"spec.type": "SRIOV", "spec.sriov": sriov()["spec.sriov"]}, want: "spec.macvlan must be set exactly when spec.type is Macvlan"},
	"sriov becomes macvlan":       {kind: "Network", edit: sriov(), update: edits{"spec.type": "Macvlan", "spec.sriov": nil, "spec.macvlan": valid("Network").Object["spec"].(object)["macvlan"]}, want: "spec.type is immutable: create another Network"},
	"sriov without device":        {kind: "Network", edit: edits{"spec.type": "SRIOV", "spec.macvlan": nil, "spec.sriov": object{}}, want: "spec.sriov.device: Required value"},
	"sriov any device":            {kind: "Network", edit: vfs(object{}), want: "a VF selector must set at least one field"},
	"sriov by vendor and device":  {kind: "Network", edit: vfs(object{"vendor": "0x8086", "device": "0x10ca"})},
	"sriov vendor of upper case":  {kind: "Network", edit: vfs(object{"vendor": "0x80AB"}), want: "spec.sriov.device.vendor in body should match"},
	"sriov vendor without 0x":     {kind: "Network", edit: vfs(object{"vendor": "8086"}), want: "spec.sriov.device.vendor in body should match"},
	"sriov by driver":             {kind: "Network", edit: vfs(object{"driver": "igb"})},
	"sriov by speed":              {kind: "Network", edit: vfs(object{"minLinkSpeed": "25G"})},
	"sriov speed 0":               {kind: "Network", edit: vfs(object{"minLinkSpeed": "0"}), want: "minLinkSpeed must be greater than 0"},
	"sriov by NUMA node 0":        {kind: "Network", edit: vfs(object{"numaNode": int64(0)})},
	"sriov NUMA node -1":          {kind: "Network", edit: vfs(object{"numaNode": int64(-1)}), want: "should be greater than or equal to 0"},
	"sriov by expression":         {kind: "Network", edit: vfs(object{"expression": `device.attributes["multinet.dev"].vfIndex < 4`})},
	"sriov PF name with slash":    {kind: "Network", edit: vfs(object{"pfNames": list{"a/b"}}), want: "should match"},
	"sriov devices changed":       {kind: "Network", edit: sriov(), update: edits{"spec.sriov.device": object{"driver": "igb"}}},
	"sriov vlan, all of it":       {kind: "Network", edit: sriov(object{"vlan": int64(4094), "vlanQoS": int64(7), "vlanProto": "802.1ad"})},
	"sriov vlan 0":                {kind: "Network", edit: sriov(object{"vlan": int64(0)}), want: "should be greater than or equal to 1"},
	"sriov vlan 4095":             {kind: "Network", edit: sriov(object{"vlan": int64(4095)}), want: "should be less than or equal to 4094"},
	"sriov vlanQoS 8":             {kind: "Network", edit: sriov(object{"vlan": int64(1), "vlanQoS": int64(8)}), want: "should be less than or equal to 7"},
	"sriov vlanQoS without vlan":  {kind: "Network", edit: sriov(object{"vlanQoS": int64(0)}), want: "vlanQoS and vlanProto need vlan"},
	"sriov proto without vlan":    {kind: "Network", edit: sriov(object{"vlanProto": "802.1q"}), want: "vlanQoS and vlanProto need vlan"},
	"sriov proto unknown":         {kind: "Network", edit: sriov(object{"vlan": int64(1), "vlanProto": "802.1Q"}), want: `supported values: "802.1q", "802.1ad"`},
	"sriov vlan changed":          {kind: "Network", edit: sriov(object{"vlan": int64(7)}), update: edits{"spec.sriov.vlan": int64(8)}, want: sriovVLAN},
	"sriov vlan added":            {kind: "Network", edit: sriov(), update: edits{"spec.sriov.vlan": int64(8)}, want: sriovVLAN},
	"sriov vlan removed":          {kind: "Network", edit: sriov(object{"vlan": int64(7)}), update: edits{"spec.sriov.vlan": nil}, want: sriovVLAN},
	"sriov vlan kept":             {kind: "Network", edit: sriov(object{"vlan": int64(7)}), update: edits{"spec.sriov.trust": true}},
	"sriov link state":            {kind: "Network", edit: sriov(object{"linkState": "Enable"})},
	"sriov link state unknown":    {kind: "Network", edit: sriov(object{"linkState": "enable"}), want: `supported values: "Auto", "Enable", "Disable"`},
	"sriov rates":                 {kind: "Network", edit: sriov(object{"minTxRate": "1G", "maxTxRate": "1000M"})},
	"sriov minTxRate alone":       {kind: "Network", edit: sriov(object{"minTxRate": "1G"})},
	"sriov minTxRate above":       {kind: "Network", edit: sriov(object{"minTxRate": "2G", "maxTxRate": "1G"}), want: "minTxRate must not be greater than maxTxRate"},
	"sriov minTxRate 0":           {kind: "Network", edit: sriov(object{"minTxRate": "0"}), want: "minTxRate must be greater than 0"},
	"sriov maxTxRate 0":           {kind: "Network", edit: sriov(object{"maxTxRate": int64(0)}), want: "maxTxRate must be greater than 0"},
	"sriov vfio":                  {kind: "Network", edit: sriov(object{"deviceType": "VFIO"})},
	"sriov device type unknown":   {kind: "Network", edit: sriov(object{"deviceType": "vfio-pci"}), want: `supported values: "NetDevice", "VFIO"`},
	"sriov device type defaulted": {kind: "Network", edit: sriov(), update: edits{"spec.sriov.deviceType": "NetDevice"}},
	"sriov device type changed":   {kind: "Network", edit: sriov(), update: edits{"spec.sriov.deviceType": "VFIO"}, want: sriovType},
	"sriov rdma":                  {kind: "Network", edit: sriov(object{"rdma": true})},
	"sriov rdma with vfio":        {kind: "Network", edit: sriov(object{"rdma": true, "deviceType": "VFIO"}), want: sriovRDMA},
	"sriov rdma off with vfio":    {kind: "Network", edit: sriov(object{"rdma": false, "deviceType": "VFIO"})},

	"attachment to a VF": {kind: "PodNetworkAttachment", edit: sriov()},
}
