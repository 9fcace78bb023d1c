package v1alpha1_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// edits are fields to set in a valid object, by path; a nil value removes the field.
type edits map[string]any

type list = []any
type object = map[string]any

func valid(kind string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]object{
		"Network": {"metadata": object{"name": "storage"}, "spec": object{
			"type": "Macvlan", "macvlan": object{"uplink": object{"names": list{"eth1"}}},
			"ipam": object{"ranges": list{object{"cidr": "10.20.0.0/24"}, object{"cidr": "fd00:20::/64"}}},
		}},
		"AddressClaim": {"metadata": object{"name": "p-net1", "namespace": testNamespace}, "spec": object{
			"networkName": "storage", "podName": "p", "addresses": list{"10.20.0.9", "fd00:20::9"},
		}},
		"QoSClass": {"metadata": object{"name": "gold"}, "spec": object{}},
		"PodNetworkAttachment": {"metadata": object{"name": "p-0123456789", "namespace": testNamespace}, "spec": object{
			"pod": object{"name": "p", "uid": "1"}, "networkName": "storage", "nodeName": "n1", "interface": "net1",
			"type": "Macvlan", "macvlan": object{"uplink": object{"names": list{"eth1"}}}, "mac": "02:00:00:00:00:01",
		}},
	}[kind]}
	o.SetAPIVersion("multinet.dev/v1alpha1")
	o.SetKind(kind)
	return o
}

func (e edits) apply(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	for path, value := range e {
		fields := strings.Split(path, ".")
		if value == nil {
			unstructured.RemoveNestedField(o.Object, fields...)
			continue
		}
		if err := unstructured.SetNestedField(o.Object, value, fields...); err != nil {
			t.Fatalf("setting %s: %v", path, err)
		}
	}
}

// validationCase is an object that the API server accepts, or refuses with a text that has all of want in it.
type validationCase struct {
	kind string
	edit edits
	// update is applied to the created object.
	update edits
	// want is empty for what must be accepted.
	want string
}

func ranges(r ...any) edits { return edits{"spec.ipam.ranges": r} }

func macvlan(field string, value any) edits { return edits{"spec.macvlan." + field: value} }

// validationCases are those of all kinds. Each rule stands beside a neighbour that is just right.
var validationCases = joined(networkCases, rackLocalCases, sriovCases, hostDeviceCases, cniCases, addressClaimCases, qosCases, otherCases)

func joined(tables ...map[string]validationCase) map[string]validationCase {
	all := map[string]validationCase{}
	for _, table := range tables {
		for name, c := range table {
			if _, twice := all[name]; twice {
				panic("two cases have the name " + name)
			}
			all[name] = c
		}
	}
	return all
}

const (
	specKept  = "spec is immutable apart from the values of qos: it is the order for one interface of one pod"
	classKept = "spec.qos is of one QoSClass for ever: only its values change"
)

// gold gives an attachment a class with values.
func gold(values edits) edits {
	qos := object{"className": "gold"}
	maps.Copy(qos, values)
	return edits{"spec.qos": qos}
}

var networkCases = map[string]validationCase{
	"network as it stands":           {kind: "Network"},
	"network name of 48":             {kind: "Network", edit: edits{"metadata.name": strings.Repeat("a", 48)}},
	"network name of 49":             {kind: "Network", edit: edits{"metadata.name": strings.Repeat("a", 49)}, want: "a Network's name must be a DNS label of at most 48 characters"},
	"network name with dot":          {kind: "Network", edit: edits{"metadata.name": "a.b"}, want: "a Network's name must be a DNS label"},
	"classes allowed":                {kind: "Network", edit: edits{"spec.allowedQoSClasses": list{"gold", "*"}}},
	"class allowed with a dot":       {kind: "Network", edit: edits{"spec.allowedQoSClasses": list{"go.ld"}}, want: "every entry must be the name of a QoSClass, or * for all"},
	"class allowed twice":            {kind: "Network", edit: edits{"spec.allowedQoSClasses": list{"gold", "gold"}}, want: "Duplicate value"},
	"network without member":         {kind: "Network", edit: edits{"spec.macvlan": nil}, want: "spec.macvlan must be set exactly when spec.type is Macvlan"},
	"unknown type":                   {kind: "Network", edit: edits{"spec.type": "Token Ring"}, want: `supported values: "Macvlan", "SRIOV", "RackLocal"`},
	"no addresses":                   {kind: "Network", edit: edits{"spec.ipam": nil}},
	"routes":                         {kind: "Network", edit: edits{"spec.routes": list{object{"to": "10.0.0.0/8", "via": "10.20.0.9"}, object{"to": "::/0"}}}},
	"routes without ipam":            {kind: "Network", edit: edits{"spec.ipam": nil, "spec.routes": list{object{"to": "10.0.0.0/8"}}}, want: "spec.routes needs spec.ipam"},
	"route with host bits":           {kind: "Network", edit: edits{"spec.routes": list{object{"to": "10.0.0.1/8"}}}, want: "to must be a prefix in CIDR form without host bits"},
	"route to an address":            {kind: "Network", edit: edits{"spec.routes": list{object{"to": "10.0.0.0"}}}, want: "to must be a prefix in CIDR form"},
	"route via other family":         {kind: "Network", edit: edits{"spec.routes": list{object{"to": "10.0.0.0/8", "via": "fd00::1"}}}, want: "via must be an address of the same family as to"},
	"route via a word":               {kind: "Network", edit: edits{"spec.routes": list{object{"to": "10.0.0.0/8", "via": "gw"}}}, want: "via must be an address of the same family as to"},
	"mtu 68":                         {kind: "Network", edit: edits{"spec.mtu": int64(68)}},
	"mtu 67":                         {kind: "Network", edit: edits{"spec.mtu": int64(67)}, want: "should be greater than or equal to 68"},
	"mtu 65536":                      {kind: "Network", edit: edits{"spec.mtu": int64(65536)}, want: "should be less than or equal to 65535"},
	"vlan 1":                         {kind: "Network", edit: macvlan("vlan", int64(1))},
	"vlan 4094":                      {kind: "Network", edit: macvlan("vlan", int64(4094))},
	"vlan 0":                         {kind: "Network", edit: macvlan("vlan", int64(0)), want: "should be greater than or equal to 1"},
	"vlan 4095":                      {kind: "Network", edit: macvlan("vlan", int64(4095)), want: "should be less than or equal to 4094"},
	"vlan kept":                      {kind: "Network", edit: macvlan("vlan", int64(7)), update: edits{"spec.mtu": int64(1400)}},
	"vlan changed":                   {kind: "Network", edit: macvlan("vlan", int64(7)), update: macvlan("vlan", int64(8)), want: "spec.macvlan.vlan is immutable"},
	"vlan added":                     {kind: "Network", update: macvlan("vlan", int64(8)), want: "spec.macvlan.vlan is immutable"},
	"vlan removed":                   {kind: "Network", edit: macvlan("vlan", int64(7)), update: macvlan("vlan", nil), want: "spec.macvlan.vlan is immutable"},
	"mode named as defaulted":        {kind: "Network", update: macvlan("mode", "Bridge")},
	"mode changed":                   {kind: "Network", update: macvlan("mode", "VEPA"), want: "spec.macvlan.mode is immutable"},
	"mode unknown":                   {kind: "Network", edit: macvlan("mode", "bridge"), want: `supported values: "Bridge", "VEPA", "Private", "Passthru"`},
	"type changed":                   {kind: "Network", update: rackLocal(overlay), want: "spec.type is immutable: create another Network"},
	"uplink by driver":               {kind: "Network", edit: macvlan("uplink", object{"driver": "mlx5_core"})},
	"uplink by speed":                {kind: "Network", edit: macvlan("uplink", object{"minLinkSpeed": "25G"})},
	"uplink by speed, number":        {kind: "Network", edit: macvlan("uplink", object{"minLinkSpeed": int64(1)})},
	"uplink by nothing":              {kind: "Network", edit: macvlan("uplink", object{}), want: "a selector of NICs must set at least one of names, macs, pciAddresses, driver, minLinkSpeed"},
	"uplink by MAC":                  {kind: "Network", edit: macvlan("uplink", object{"macs": list{"aa:bb:cc:00:00:01"}})},
	"uplink speed 0":                 {kind: "Network", edit: macvlan("uplink", object{"minLinkSpeed": "0"}), want: "minLinkSpeed must be greater than 0"},
	"uplink name of 15":              {kind: "Network", edit: macvlan("uplink", object{"names": list{"abcdefghijklmno"}})},
	"uplink name of 16":              {kind: "Network", edit: macvlan("uplink", object{"names": list{"abcdefghijklmnop"}}), want: "may not be more than 15"},
	"uplink name with slash":         {kind: "Network", edit: macvlan("uplink", object{"names": list{"eth/1"}}), want: "should match"},
	"uplink changed":                 {kind: "Network", update: macvlan("uplink", object{"names": list{"eth2"}})},
	"neighbouring ranges":            {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/25"}, object{"cidr": "10.0.0.128/25"})},
	"range in a range":               {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24"}, object{"cidr": "10.0.0.128/25"}), want: "ranges of one Network must not overlap"},
	"range around a range":           {kind: "Network", edit: ranges(object{"cidr": "10.0.0.128/25"}, object{"cidr": "10.0.0.0/24"}), want: "ranges of one Network must not overlap"},
	"range twice":                    {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24"}, object{"cidr": "10.0.0.0/24"}), want: "ranges of one Network must not overlap: a cidr stands twice"},
	"range twice, written otherwise": {kind: "Network", edit: ranges(object{"cidr": "fd00:0::/64"}, object{"cidr": "FD00::/64"}), want: "ranges of one Network must not overlap"},
	"no range":                       {kind: "Network", edit: edits{"spec.ipam.ranges": list{}}, want: "should have at least 1 items"},
	"sixteen ranges":                 {kind: "Network", edit: ranges(manyRanges(16)...)},
	"seventeen ranges":               {kind: "Network", edit: ranges(manyRanges(17)...), want: "must have at most 16 items"},
	"range without length":           {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0"}), want: "cidr must be a subnet in CIDR form"},
	"range with host bits":           {kind: "Network", edit: ranges(object{"cidr": "10.0.0.1/24"}), want: "cidr must be a subnet in CIDR form without host bits"},
	"range of one address":           {kind: "Network", edit: ranges(object{"cidr": "10.0.0.1/32"})},
	"start and end at the rim":       {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "start": "10.0.0.0", "end": "10.0.0.255", "gateway": "10.0.0.255"})},
	"start outside":                  {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "start": "10.0.1.0"}), want: "start must be an address inside cidr"},
	"start of other family":          {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "start": "fd00::1"}), want: "start must be an address inside cidr"},
	"end outside":                    {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "end": "9.255.255.255"}), want: "end must be an address inside cidr"},
	"gateway outside":                {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "gateway": "10.0.1.1"}), want: "gateway must be an address inside cidr"},
	"gateway a word":                 {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "gateway": "router"}), want: "gateway must be an address inside cidr"},
	"exclude inside":                 {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "exclude": list{"10.0.0.0/28", "10.0.0.77/32"}})},
	"exclude outside":                {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "exclude": list{"10.0.1.0/28"}}), want: "every exclude must be a CIDR inside cidr"},
	"exclude an address":             {kind: "Network", edit: ranges(object{"cidr": "10.0.0.0/24", "exclude": list{"10.0.0.9"}}), want: "every exclude must be a CIDR inside cidr"},
	"quarantine of a day":            {kind: "Network", edit: edits{"spec.ipam.quarantine": "24h"}},
	"quarantine of none":             {kind: "Network", edit: edits{"spec.ipam.quarantine": "0s"}},
	"quarantine too long":            {kind: "Network", edit: edits{"spec.ipam.quarantine": "24h1s"}, want: "quarantine must be between 0s and 24h"},
	"quarantine negative":            {kind: "Network", edit: edits{"spec.ipam.quarantine": "-1s"}, want: "quarantine must be between 0s and 24h"},
	"quarantine a word":              {kind: "Network", edit: edits{"spec.ipam.quarantine": "soon"}, want: "quarantine must be between 0s and 24h"},
}

var otherCases = map[string]validationCase{
	"attachment as it stands":        {kind: "PodNetworkAttachment"},
	"attachment relabelled":          {kind: "PodNetworkAttachment", update: edits{"metadata.labels": object{"a": "b"}}},
	"attachment moved":               {kind: "PodNetworkAttachment", update: edits{"spec.nodeName": "n2"}, want: specKept},
	"attachment of another pod":      {kind: "PodNetworkAttachment", update: edits{"spec.pod.uid": "2"}, want: specKept},
	"attachment that gets an mtu":    {kind: "PodNetworkAttachment", update: edits{"spec.mtu": int64(1400)}, want: specKept},
	"attachment that loses its path": {kind: "PodNetworkAttachment", update: edits{"spec.macvlan": nil}, want: specKept},
	"attachment with more addresses": {kind: "PodNetworkAttachment", update: edits{"spec.addresses": list{object{"address": "10.20.0.5/24"}}}, want: specKept},
	"attachment with a route":        {kind: "PodNetworkAttachment", update: edits{"spec.routes": list{object{"to": "10.0.0.0/8"}}}, want: specKept},
	"class changed":                  {kind: "PodNetworkAttachment", edit: gold(edits{"priority": int64(1)}), update: edits{"spec.qos.priority": int64(5), "spec.qos.egress": object{"maximum": "20M"}}},
	"class emptied":                  {kind: "PodNetworkAttachment", edit: gold(edits{"priority": int64(1), "dscp": int64(46)}), update: edits{"spec.qos.priority": nil, "spec.qos.dscp": nil}},
	"class changed, and more":        {kind: "PodNetworkAttachment", edit: gold(nil), update: edits{"spec.qos.priority": int64(5), "spec.mac": "02:00:00:00:00:02"}, want: specKept},
	"another class":                  {kind: "PodNetworkAttachment", edit: gold(nil), update: edits{"spec.qos.className": "silver"}, want: classKept},
	"class added":                    {kind: "PodNetworkAttachment", update: gold(nil), want: classKept},
	"class removed":                  {kind: "PodNetworkAttachment", edit: gold(nil), update: edits{"spec.qos": nil}, want: classKept},
	"attachment mac upper case":      {kind: "PodNetworkAttachment", edit: edits{"spec.mac": "02:00:00:00:00:AA"}, want: "should match"},
	"attachment without network":     {kind: "PodNetworkAttachment", edit: edits{"spec.networkName": ""}, want: "should be at least 1 chars long"},
}

func manyRanges(n int) list {
	var all list
	for i := range n {
		all = append(all, object{"cidr": fmt.Sprintf("10.%d.0.0/16", i)})
	}
	return all
}

func TestValidation(t *testing.T) {
	s := requireAPIServer(t)
	for name, c := range validationCases {
		t.Run(name, func(t *testing.T) {
			o := valid(c.kind)
			c.edit.apply(t, o)
			err := s.admin.Create(t.Context(), o, createOptions(c)...)
			if c.update != nil {
				if err != nil {
					t.Fatalf("creating what is to be updated: %v", err)
				}
				defer func() { _ = s.admin.Delete(t.Context(), o) }()
				c.update.apply(t, o)
				err = s.admin.Update(t.Context(), o)
			}
			checkAnswer(t, err, c.want)
		})
	}
}

// createOptions leaves nothing behind where the object is not needed.
func createOptions(c validationCase) []client.CreateOption {
	if c.update == nil {
		return []client.CreateOption{client.DryRunAll}
	}
	return nil
}

func checkAnswer(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted, want the answer %q", want)
	case want != "" && !strings.Contains(err.Error(), want):
		t.Errorf("answer\n%v\ndoes not have\n%s", err, want)
	}
}

// TestEveryRuleIsTested reads the generated CRDs, so that a rule cannot be added without a case that it refuses.
func TestEveryRuleIsTested(t *testing.T) {
	files, err := filepath.Glob("../../manifests/crds/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("CRDs: %v, %v", files, err)
	}
	for _, file := range files {
		var crd apiextensionsv1.CustomResourceDefinition
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, message := range ruleMessages(crd.Spec.Versions[0].Schema.OpenAPIV3Schema) {
			if !refusedByACase(message) {
				t.Errorf("%s: no case is refused with %q", crd.Spec.Names.Kind, message)
			}
		}
	}
}

// refusedByACase looks at all kinds: an attachment carries parts of a Network that are tested there.
func refusedByACase(message string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(validationCases)), func(c validationCase) bool {
		return c.want != "" && strings.HasPrefix(message, c.want)
	})
}

func ruleMessages(schema *apiextensionsv1.JSONSchemaProps) (messages []string) {
	for _, rule := range schema.XValidations {
		messages = append(messages, rule.Message)
	}
	for _, property := range schema.Properties {
		messages = append(messages, ruleMessages(&property)...)
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		messages = append(messages, ruleMessages(schema.Items.Schema)...)
	}
	return messages
}
