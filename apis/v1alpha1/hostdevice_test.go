package v1alpha1_test

// wholeNIC makes the valid Network one of type HostDevice.
func wholeNIC(more edits) edits {
	return edits{"spec.type": "HostDevice", "spec.macvlan": nil, "spec.hostDevice": object{"nic": object{"names": list{"eth1"}}}}.with(more)
}

// wholeNICOrder makes the valid attachment the order for a NIC.
func wholeNICOrder(more edits) edits { return wholeNIC(nil).with(edits{"spec.mac": nil}).with(more) }

func byPCI(addresses ...any) edits {
	return wholeNIC(edits{"spec.hostDevice": object{"nic": object{"pciAddresses": append(list{}, addresses...)}}})
}

func byMAC(macs ...any) edits {
	return edits{"spec.hostDevice": object{"nic": object{"macs": append(list{}, macs...)}}}
}

const (
	hostDeviceMember  = "spec.hostDevice must be set exactly when spec.type is HostDevice"
	hostDeviceNoClass = "a QoSClass cannot be had with type HostDevice: the pod has the NIC, and all of its bandwidth, alone"
)

var hostDeviceCases = map[string]validationCase{
	"whole NIC":                     {kind: "Network", edit: wholeNIC(nil)},
	"whole NIC, all else":           {kind: "Network", edit: wholeNIC(edits{"spec.mtu": int64(9000), "spec.routes": list{object{"to": "10.0.0.0/8"}}, "spec.ipam.sticky": "PodName"})},
	"whole NIC without addresses":   {kind: "Network", edit: wholeNIC(edits{"spec.ipam": nil})},
	"whole NIC without member":      {kind: "Network", edit: wholeNIC(edits{"spec.hostDevice": nil}), want: hostDeviceMember},
	"whole NIC of other type":       {kind: "Network", edit: edits{"spec.hostDevice": object{"nic": object{"names": list{"eth1"}}}}, want: hostDeviceMember},
	"whole NIC with macvlan":        {kind: "Network", edit: edits{"spec.type": "HostDevice", "spec.hostDevice": object{"nic": object{"names": list{"eth1"}}}}, want: "spec.macvlan must be set exactly when spec.type is Macvlan"},
	"whole NIC becomes macvlan":     {kind: "Network", edit: wholeNIC(nil), update: edits{"spec.type": "Macvlan", "spec.hostDevice": nil, "spec.macvlan": valid("Network").Object["spec"].(object)["macvlan"]}, want: "spec.type is immutable: create another Network"},
	"whole NIC with class":          {kind: "Network", edit: wholeNIC(edits{"spec.qosClassName": "gold"}), want: hostDeviceNoClass},
	"whole NIC with classes":        {kind: "Network", edit: wholeNIC(edits{"spec.allowedQoSClasses": list{"*"}}), want: hostDeviceNoClass},
	"whole NIC, any":                {kind: "Network", edit: wholeNIC(edits{"spec.hostDevice": object{"nic": object{}}}), want: "a selector of NICs must set at least one of names, macs, pciAddresses, driver, minLinkSpeed"},
	"whole NIC by PCI address":      {kind: "Network", edit: byPCI("0000:3b:00.1", "10000:01:10.7")},
	"whole NIC, PCI of upper case":  {kind: "Network", edit: byPCI("0000:3B:00.1"), want: "spec.hostDevice.nic.pciAddresses[0]"},
	"whole NIC, PCI without domain": {kind: "Network", edit: byPCI("3b:00.1"), want: "spec.hostDevice.nic.pciAddresses[0]"},
	"whole NIC without selector":    {kind: "Network", edit: wholeNIC(edits{"spec.hostDevice": object{}}), want: "spec.hostDevice.nic: Required value"},
	"whole NIC by MAC":              {kind: "Network", edit: wholeNIC(byMAC("aa:bb:cc:00:00:01", "aa:bb:cc:00:00:02"))},
	"whole NIC by no MAC":           {kind: "Network", edit: wholeNIC(byMAC()), want: "spec.hostDevice.nic.macs in body should have at least 1 items"},
	"whole NIC by MAC, twice":       {kind: "Network", edit: wholeNIC(byMAC("aa:bb:cc:00:00:01", "aa:bb:cc:00:00:01")), want: "Duplicate value"},
	"whole NIC by MAC, upper case":  {kind: "Network", edit: wholeNIC(byMAC("AA:BB:CC:00:00:01")), want: "in body should match"},
	"whole NIC by MAC, hyphens":     {kind: "Network", edit: wholeNIC(byMAC("aa-bb-cc-00-00-01")), want: "in body should match"},
	"whole NIC by MAC of 5 bytes":   {kind: "Network", edit: wholeNIC(byMAC("aa:bb:cc:00:00")), want: "in body should match"},
	"whole NIC by MAC of 8 bytes":   {kind: "Network", edit: wholeNIC(byMAC("aa:bb:cc:00:00:01:02:03")), want: "in body should match"},
	"whole NIC, selector changed":   {kind: "Network", edit: wholeNIC(nil), update: byMAC("aa:bb:cc:00:00:01")},
	"attachment of a NIC":           {kind: "PodNetworkAttachment", edit: wholeNICOrder(nil)},
	"attachment of a NIC, MAC":      {kind: "PodNetworkAttachment", edit: wholeNICOrder(edits{"spec.mac": "02:00:00:00:00:01"})},
	"attachment of a NIC, MAC lost": {kind: "PodNetworkAttachment", edit: wholeNICOrder(edits{"spec.mac": "02:00:00:00:00:01"}), update: edits{"spec.mac": nil}, want: specKept},
	"attachment of another NIC":     {kind: "PodNetworkAttachment", edit: wholeNICOrder(nil), update: byMAC("aa:bb:cc:00:00:01"), want: specKept},
	"attachment that gets a NIC":    {kind: "PodNetworkAttachment", update: edits{"spec.hostDevice": object{"nic": object{"names": list{"eth1"}}}}, want: specKept},
}
