package decide

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// inJSON is a pod with the annotation of Multus, and ours as the admission policy makes it of that.
func inJSON(value, selection string) *corev1.Pod {
	return podSelecting(selection, func(p *corev1.Pod) { p.Annotations[npwg.AnnotationNetworks] = value })
}

func TestPlanInJSON(t *testing.T) {
	const lan, other = "nad-4-shop-lan", "nad-5-other-lan"
	plugged := pluginNetwork(`{"name": "plug", "plugins": [{"type": "bridge", "capabilities": {"ips": true}}, {"type": "portmap", "capabilities": {"portMappings": true}}]}`)
	plugged.Name = "nad-4-shop-plug"
	routed := network("nad-4-shop-routed", func(n *v1alpha1.Network) { n.Spec.Routes = []v1alpha1.Route{{To: "0.0.0.0/0"}} })
	networks := map[string]*v1alpha1.Network{lan: network(lan), other: network(other), "storage": network("storage"),
		"nad-4-shop-plug": plugged, routed.Name: routed, "nad-4-shop-bare": network("nad-4-shop-bare", func(n *v1alpha1.Network) { n.Spec.IPAM = nil })}
	claim := claimNamed("mine", naming("10.20.0.9"))
	claim.Spec.NetworkName = lan
	for name, c := range map[string]struct {
		pod       *corev1.Pod
		elsewhere bool
		attached  map[string]string
		claims    []*v1alpha1.AddressClaim
		// want is interface=network addresses MAC for each planned attachment.
		want    []string
		refusal string
		says    []string
	}{
		"names alone": {pod: inJSON(`[{"name": "lan"}, {"name": "lan", "namespace": "other", "interface": "x"}]`, lan+", "+other+"@x"),
			want: []string{"net1=nad-4-shop-lan", "x=nad-5-other-lan"}},
		"addresses and MAC": {pod: inJSON(`[{"name": "lan"}, {"name": "lan", "ips": ["fd00:20:0::9/64", "10.20.0.9"], "mac": "02-00-00-00-00-0A", "org.example/key": 1}]`, lan+","+lan),
			want: []string{"net1=nad-4-shop-lan", "net2=nad-4-shop-lan fd00:20::9 10.20.0.9 02:00:00:00:00:0a"}},
		"a MAC alone": {pod: inJSON(`[{"name": "bare", "mac": "02:00:00:00:00:01"}]`, "nad-4-shop-bare"), want: []string{"net1=nad-4-shop-bare 02:00:00:00:00:01"}},
		"interface named as it would be": {pod: inJSON(`[{"name": "lan", "interface": "net1", "mac": "02:00:00:00:00:01"}]`, lan+"@net1"),
			want: []string{"net1=nad-4-shop-lan 02:00:00:00:00:01"}},
		"the comma form": {pod: inJSON("lan@x", lan+"@x"), want: []string{"x=nad-4-shop-lan"}},

		"other network": {pod: inJSON(`[{"name": "lan"}]`, "storage"), refusal: v1alpha1.ReasonMalformedSelection,
			says: []string{"annotation k8s.v1.cni.cncf.io/networks selects other networks or interfaces than annotation multinet.dev/networks"}},
		"other order":     {pod: inJSON(`[{"name": "lan", "namespace": "other"}, {"name": "lan"}]`, lan+","+other), refusal: v1alpha1.ReasonMalformedSelection},
		"other interface": {pod: inJSON(`[{"name": "lan"}]`, lan+"@x"), refusal: v1alpha1.ReasonMalformedSelection},
		"fewer":           {pod: inJSON(`[]`, lan), refusal: v1alpha1.ReasonMalformedSelection},
		"with a class":    {pod: inJSON(`[{"name": "lan"}]`, lan+":gold"), refusal: v1alpha1.ReasonQoSClassNotAllowed},
		"malformed": {pod: inJSON("[{\"name\": \"lan\", \"ip\": [\"10.20.0.9\"]}\n{}]", lan), refusal: v1alpha1.ReasonMalformedSelection,
			says: []string{"annotation k8s.v1.cni.cncf.io/networks: line 2, column 1: it holds one of [ { \" and so must be a JSON list: invalid character '{' after array element"}},
		"misspelt": {pod: inJSON(`[{"name": "lan", "ip": ["10.20.0.9"]}]`, lan), refusal: v1alpha1.ReasonMalformedSelection,
			says: []string{`annotation k8s.v1.cni.cncf.io/networks: line 1, column 24: element 1: key "ip": the specification knows no such key`}},

		"of Multus, in another namespace":            {pod: inJSON(`[{"name": "lan", "ips": ["10.0.0.9"]}]`, "storage"), elsewhere: true, want: []string{"net1=storage"}},
		"malformed, in another namespace":            {pod: inJSON(`[{"name": "lan", "ip": 1}]`, "storage"), elsewhere: true, want: []string{"net1=storage"}},
		"made by the policy, the label is gone":      {pod: inJSON(`[{"name": "lan", "mac": "02:00:00:00:00:01"}]`, lan), elsewhere: true, want: []string{"net1=nad-4-shop-lan 02:00:00:00:00:01"}},
		"older than the label, and the pod has them": {pod: inJSON(`[{"name": "x"}]`, "storage"), attached: map[string]string{"net1": "storage"}, want: []string{"net1=storage"}},
		"what the pod has it keeps": {pod: inJSON(`[{"name": "lan", "ips": ["10.99.0.9"]}, {"name": "lan"}]`, lan+","+lan), attached: map[string]string{"net1": lan},
			want: []string{"net1=nad-4-shop-lan", "net2=nad-4-shop-lan"}},

		"outside": {pod: inJSON(`[{"name": "lan"}, {"name": "lan", "ips": ["10.21.0.9"]}]`, lan+","+lan), refusal: v1alpha1.ReasonCannotHonour,
			says: []string{`annotation k8s.v1.cni.cncf.io/networks: line 1, column 42: element 2: key "ips": 10.21.0.9 is in no range of the network`}},
		"other prefix":    {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.9/16"]}]`, lan), refusal: v1alpha1.ReasonCannotHonour},
		"no addresses":    {pod: inJSON(`[{"name": "bare", "ips": ["10.20.0.9"]}]`, "nad-4-shop-bare"), refusal: v1alpha1.ReasonCannotHonour},
		"gateway":         {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.1"]}]`, lan), refusal: v1alpha1.ReasonOutsideRanges, says: []string{"line 1, column 25: element 1: key \"ips\": 10.20.0.1 is not an address that a host can have"}},
		"broadcast":       {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.255"]}]`, lan), refusal: v1alpha1.ReasonOutsideRanges},
		"two of a family": {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.8", "10.20.0.9"]}]`, lan), refusal: v1alpha1.ReasonCannotHonour, says: []string{"10.20.0.9 is the second IPv4 address"}},
		"an address twice": {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.9"]}, {"name": "lan", "ips": ["10.20.0.9"]}]`, lan+","+lan), refusal: v1alpha1.ReasonAddressInUse,
			says: []string{"element 2: key \"ips\": element 1 asks for 10.20.0.9 too"}},
		"a MAC twice": {pod: inJSON(`[{"name": "lan", "mac": "02:00:00:00:00:01"}, {"name": "lan", "mac": "02:00:00:00:00:01"}]`, lan+","+lan), refusal: v1alpha1.ReasonMACInUse,
			says: []string{"element 2: key \"mac\": element 1 asks for 02:00:00:00:00:01 too"}},
		"the same on two networks": {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.9"]}, {"name": "lan", "namespace": "other", "ips": ["10.20.0.9"]}]`, lan+","+other),
			want: []string{"net1=nad-4-shop-lan 10.20.0.9", "net2=nad-5-other-lan 10.20.0.9"}},
		"all that cannot be had": {pod: inJSON(`[{"name": "lan", "bandwidth": {"egressRate": 1}, "portMappings": [{"hostPort": 1, "containerPort": 1}]}]`, lan),
			refusal: v1alpha1.ReasonCannotHonour, says: []string{`line 1, column 31: element 1: key "bandwidth": a limit belongs to a QoSClass: `,
				`key "portMappings": Multinet forwards no ports`}},
		"default route": {pod: inJSON(`[{"name": "lan"}, {"name": "lan", "default-route": ["10.20.0.1"]}]`, lan+","+lan), want: []string{"net1=nad-4-shop-lan", "net2=nad-4-shop-lan by 10.20.0.1"}},
		"default route elsewhere": {pod: inJSON(`[{"name": "lan", "default-route": ["10.21.0.1"]}]`, lan), refusal: v1alpha1.ReasonCannotHonour,
			says: []string{`line 1, column 35: element 1: key "default-route": 10.21.0.1 is no neighbour of an address in 10.20.0.0/24`}},
		"default route beside that of a network": {pod: inJSON(`[{"name": "routed"}, {"name": "lan", "default-route": ["10.20.0.1"]}]`, "nad-4-shop-routed,"+lan), refusal: v1alpha1.ReasonRouteConflict,
			says: []string{`element 2: key "default-route": Network "nad-4-shop-routed", which the pod selects as well, has a route to 0.0.0.0/0`}},
		"default route of the other family": {pod: inJSON(`[{"name": "routed"}, {"name": "lan", "default-route": ["fe80::1"]}]`, "nad-4-shop-routed,"+lan),
			want: []string{"net1=nad-4-shop-routed", "net2=nad-4-shop-lan by fe80::1"}},
		"of plugins": {pod: inJSON(`[{"name": "plug", "ips": ["10.99.0.9/24"], "portMappings": [{"hostPort": 8080, "containerPort": 80}], "cni-args": {"a": 1}}]`, "nad-4-shop-plug"),
			want: []string{`net1=nad-4-shop-plug {"ips":["10.99.0.9/24"],"portMappings":[{"hostPort":8080,"containerPort":80,"protocol":"tcp"}],"args":"{\"a\": 1}"}`}},
		"of plugins, nothing asked": {pod: inJSON(`[{"name": "plug"}]`, "nad-4-shop-plug"), want: []string{"net1=nad-4-shop-plug"}},
		"what no plugin declares": {pod: inJSON(`[{"name": "lan"}, {"name": "plug", "mac": "02:00:00:00:00:01"}]`, lan+",nad-4-shop-plug"), refusal: v1alpha1.ReasonCannotHonour,
			says: []string{`line 1, column 43: element 2: key "mac": no plugin of the network declares the capability "mac"`}},
		"an AddressClaim beside": {pod: inJSON(`[{"name": "lan", "ips": ["10.20.0.9"]}]`, lan), claims: []*v1alpha1.AddressClaim{claim}, refusal: v1alpha1.ReasonAddressClaim,
			says: []string{`AddressClaim "mine" is for interface net1, for which element 1 of annotation k8s.v1.cni.cncf.io/networks asks`}},
		"an AddressClaim alone": {pod: inJSON(`[{"name": "lan"}]`, lan), claims: []*v1alpha1.AddressClaim{claim}, want: []string{"net1=nad-4-shop-lan"}},
	} {
		t.Run(name, func(t *testing.T) {
			labels := map[string]string{netattach.LabelDefinitions: netattach.LabelDefinitionsNative}
			if c.elsewhere {
				labels = nil
			}
			planned, refusal := Plan(PodSnapshot{Pod: c.pod, NamespaceLabels: labels, Networks: networks, Attached: onNetworks(c.attached), Claims: c.claims})
			var got []string
			for _, p := range planned {
				text := p.Selection.Interface + "=" + p.Network.Name
				if p.Asked != nil {
					for _, a := range p.Asked.Addresses {
						text += " " + a.String()
					}
					text = strings.TrimSuffix(text+" "+p.Asked.MAC, " ")
				}
				for _, gateway := range p.DefaultRoute {
					text += " by " + gateway.String()
				}
				if p.CNIArguments != nil {
					arguments, _ := json.Marshal(p.CNIArguments)
					text += " " + string(arguments)
				}
				got = append(got, text)
			}
			reason := ""
			if refusal != nil {
				reason = refusal.Reason
				refusal.mustSay(t, c.says)
			}
			if diff := cmp.Diff(c.want, got); diff != "" || reason != c.refusal {
				t.Errorf("refusal %+v, want %s, planned (-want +got):\n%s", refusal, c.refusal, diff)
			}
		})
	}
}

// TestPlanInJSONOfAnEditedPod: elements are for themselves there, so each is found among all that the annotation has.
func TestPlanInJSONOfAnEditedPod(t *testing.T) {
	const lan, other = "nad-4-shop-lan", "nad-5-other-lan"
	for name, c := range map[string]struct {
		value, selection string
		// want is interface=network, with a gateway; then the refusal's reason.
		want []string
		says []string
	}{
		"two at once": {value: `[{"name": "lan"}, {"name": "lan", "interface": "a", "default-route": ["10.20.0.1"]}, {"name": "lan", "namespace": "other", "interface": "b"}]`,
			selection: lan + "," + lan + "@a," + other + "@b", want: []string{"net1=" + lan, "a=" + lan + " by 10.20.0.1", "b=" + other}},
		"in front of what it has": {value: `[{"name": "lan", "interface": "a", "default-route": ["10.20.0.1"]}, {"name": "lan", "interface": "net1"}]`,
			selection: lan + "@a," + lan + "@net1", want: []string{"net1=" + lan, "a=" + lan + " by 10.20.0.1"}},
		"one that cannot be had": {value: `[{"name": "lan"}, {"name": "lan", "interface": "a", "portMappings": [{"hostPort": 1, "containerPort": 1}]}, {"name": "lan", "interface": "b"}]`,
			selection: lan + "," + lan + "@a," + lan + "@b", want: []string{"net1=" + lan, "b=" + lan, v1alpha1.ReasonCannotHonour}, says: []string{`element 2: key "portMappings"`}},
		"other networks than ours": {value: `[{"name": "lan"}, {"name": "lan", "interface": "a"}]`, selection: lan + "," + other + "@a",
			want: []string{"net1=" + lan, v1alpha1.ReasonMalformedSelection}, says: []string{"selects other networks"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := editedPod(lan, c.selection)
			s.Pod.Annotations[npwg.AnnotationNetworks] = c.value
			s.NamespaceLabels = map[string]string{netattach.LabelDefinitions: netattach.LabelDefinitionsNative}
			s.Networks = map[string]*v1alpha1.Network{lan: network(lan), other: network(other)}
			s.Slices = []resourcev1.ResourceSlice{slice("node1", "eth1", 1, "")}
			planned, refusal := Plan(s)
			var got []string
			for _, p := range planned {
				text := p.Selection.Interface + "=" + p.Network.Name
				for _, gateway := range p.DefaultRoute {
					text += " by " + gateway.String()
				}
				got = append(got, text)
			}
			if refusal != nil {
				got = append(got, refusal.Reason)
				refusal.mustSay(t, c.says)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("planned (-want +got):\n%s", diff)
			}
		})
	}
}
