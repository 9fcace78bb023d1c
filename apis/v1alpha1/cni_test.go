package v1alpha1_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const bridgeConfig = `{"cniVersion": "1.0.0", "name": "lan", "type": "bridge"}`

// byPlugins makes the valid Network one of type CNI.
func byPlugins(more edits) edits {
	return edits{"spec.type": "CNI", "spec.macvlan": nil, "spec.ipam": nil, "spec.cni": object{"config": bridgeConfig}}.with(more)
}

const (
	cniMember   = "spec.cni must be set exactly when spec.type is CNI"
	cniAlone    = "spec.mtu, spec.ipam and spec.routes cannot be had with type CNI"
	cniNoClass  = "a QoSClass cannot be had with type CNI"
	indexOrNone = "spec.resourceIndex must be set exactly where spec.cni.resourceName is"
	ourDevice   = "is that of virtual functions which Multinet itself gives to pods: they need a Network of type SRIOV"
	macOrCNI    = "spec.mac must be set exactly where spec.cni is not"
)

var cniCases = map[string]validationCase{
	"plugins":                {kind: "Network", edit: byPlugins(nil)},
	"plugins without member": {kind: "Network", edit: byPlugins(edits{"spec.cni": nil}), want: cniMember},
	"plugins of other type":  {kind: "Network", edit: edits{"spec.cni": object{"config": bridgeConfig}}, want: cniMember},
	"plugins with mtu":       {kind: "Network", edit: byPlugins(edits{"spec.mtu": int64(1400)}), want: cniAlone},
	"plugins with addresses": {kind: "Network", edit: byPlugins(edits{"spec.ipam": object{"ranges": list{object{"cidr": "10.20.0.0/24"}}}}), want: cniAlone},
	"plugins with class":     {kind: "Network", edit: byPlugins(edits{"spec.qosClassName": "gold"}), want: cniNoClass},
	"plugins with classes":   {kind: "Network", edit: byPlugins(edits{"spec.allowedQoSClasses": list{"*"}}), want: cniNoClass},
	"plugins without text":   {kind: "Network", edit: byPlugins(edits{"spec.cni": object{"config": ""}}), want: "should be at least 2 chars long"},
	"plugins, long text":     {kind: "Network", edit: byPlugins(edits{"spec.cni": object{"config": strings.Repeat(" ", 16384)}})},
	"plugins, text too long": {kind: "Network", edit: byPlugins(edits{"spec.cni": object{"config": strings.Repeat(" ", 16385)}}), want: "may not be more than 16384"},
	"plugins, text changed":  {kind: "Network", edit: byPlugins(nil), update: edits{"spec.cni.config": "{}"}},
	"plugins with device":    {kind: "Network", edit: byPlugins(edits{"spec.cni": withResource("intel.com/sriov_a")})},
	"device without domain":  {kind: "Network", edit: byPlugins(edits{"spec.cni": withResource("sriov")}), want: "spec.cni.resourceName in body should match"},
	"device of kubernetes":   {kind: "Network", edit: byPlugins(edits{"spec.cni": withResource("kubernetes.io/nic")}), want: "is not the name of an extended resource"},
	"device of ours":         {kind: "Network", edit: byPlugins(edits{"spec.cni": withResource("multinet.dev/eth1")}), want: ourDevice},
	"attachment with device": {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cni": withResource("intel.com/nic"), "spec.resourceIndex": int64(1)})},
	"device without index":   {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cni": withResource("intel.com/nic")}), want: indexOrNone},
	"index without device":   {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.resourceIndex": int64(0)}), want: indexOrNone},
	"index without plugins":  {kind: "PodNetworkAttachment", edit: edits{"spec.resourceIndex": int64(0)}, want: indexOrNone},
	"index changed": {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cni": withResource("intel.com/nic"), "spec.resourceIndex": int64(1)}),
		update: edits{"spec.resourceIndex": int64(0)}, want: specKept},
	"attachment by plugins":     {kind: "PodNetworkAttachment", edit: pluginsOrder(nil)},
	"by plugins with mac":       {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.mac": "02:00:00:00:00:01"}), want: macOrCNI},
	"attachment without mac":    {kind: "PodNetworkAttachment", edit: edits{"spec.mac": nil}, want: macOrCNI},
	"attachment's text changed": {kind: "PodNetworkAttachment", edit: pluginsOrder(nil), update: edits{"spec.cni.config": "{}"}, want: specKept},
	"arguments of plugins": {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{
		"ips": list{"10.77.0.9", "fd00::9/64"}, "mac": "80:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22", "infinibandGUID": "c2:11:22:33:44:55:66:77",
		"portMappings": list{object{"hostPort": int64(8080), "containerPort": int64(80), "protocol": "sctp", "hostIP": "10.0.0.1"}},
		"bandwidth":    object{"ingressRate": int64(1), "egressBurst": int64(2)}, "args": "{}",
	}})},
	"arguments, without plugins": {kind: "PodNetworkAttachment", edit: edits{"spec.cniArguments": object{"args": "{}"}}, want: "spec.cniArguments are for CNI plugins"},
	"arguments, changed":         {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{"args": "{}"}}), update: edits{"spec.cniArguments.args": "{} "}, want: specKept},
	"arguments, taken away":      {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{"args": "{}"}}), update: edits{"spec.cniArguments": nil}, want: specKept},
	"arguments, port 0":          {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{"portMappings": list{object{"hostPort": int64(0), "containerPort": int64(80), "protocol": "tcp"}}}}), want: "greater than or equal to 1"},
	"arguments, MAC of 8 bytes":  {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{"mac": "c2:11:22:33:44:55:66:77"}}), want: "spec.cniArguments.mac"},
	"arguments, text too long":   {kind: "PodNetworkAttachment", edit: pluginsOrder(edits{"spec.cniArguments": object{"args": strings.Repeat(" ", v1alpha1.MaxCNIArgs+1)}}), want: "may not be more than 4096"},
	"attachment made by plugins": {kind: "PodNetworkAttachment", update: pluginsOrder(nil), want: specKept},
}

func withResource(name string) object { return object{"config": bridgeConfig, "resourceName": name} }

func pluginsOrder(more edits) edits {
	return edits{"spec.type": "CNI", "spec.macvlan": nil, "spec.mac": nil, "spec.cni": object{"config": bridgeConfig}}.with(more)
}

func TestCNIPluginAttribute(t *testing.T) {
	identifier := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	for plugin, want := range map[string]string{"bridge": "bridge", "host-local": "host_local", "ovn-k8s-cni.v2": "ovn_k8s_cni_v2", "6to4": "_6to4"} {
		if got := v1alpha1.CNIPluginAttribute(plugin); got != want || !identifier.MatchString(got) {
			t.Errorf("%s: %s, want %s", plugin, got, want)
		}
	}
}
