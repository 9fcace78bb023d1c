package v1alpha1_test

import "strings"

func egress(field string, value any) edits { return edits{"spec.egress": object{field: value}} }

const (
	rates      = "guaranteed and maximum are in bit/s, whole numbers between 1k and 1T"
	burst      = "burst is in bytes, a whole number between 1500 (one packet) and 1Gi"
	burstAlone = "burst is what may exceed a rate for a moment"
)

var qosCases = map[string]validationCase{
	"class as it stands":      {kind: "QoSClass"},
	"class name of 63":        {kind: "QoSClass", edit: edits{"metadata.name": strings.Repeat("a", 63)}},
	"class name of 64":        {kind: "QoSClass", edit: edits{"metadata.name": strings.Repeat("a", 64)}, want: "a QoSClass's name must be a DNS label of at most 63 characters"},
	"class name with dot":     {kind: "QoSClass", edit: edits{"metadata.name": "a.b"}, want: "a QoSClass's name must be a DNS label"},
	"guaranteed as maximum":   {kind: "QoSClass", edit: edits{"spec.egress": object{"guaranteed": "1G", "maximum": "1000M"}}},
	"guaranteed over maximum": {kind: "QoSClass", edit: edits{"spec.egress": object{"guaranteed": "2G", "maximum": "1G"}}, want: "guaranteed must not exceed maximum"},
	"guaranteed, numbers":     {kind: "QoSClass", edit: edits{"spec.ingress": object{"guaranteed": int64(2), "maximum": int64(1)}}, want: "guaranteed must not exceed maximum"},
	"guaranteed 0":            {kind: "QoSClass", edit: edits{"spec.egress": object{"guaranteed": "0"}}, want: "guaranteed must be greater than 0"},
	"maximum 0":               {kind: "QoSClass", edit: edits{"spec.ingress": object{"maximum": "0"}}, want: "maximum must be greater than 0"},
	"priority 7":              {kind: "QoSClass", edit: edits{"spec.priority": int64(7), "spec.dscp": int64(63)}},
	"priority 8":              {kind: "QoSClass", edit: edits{"spec.priority": int64(8)}, want: "should be less than or equal to 7"},
	"dscp 64":                 {kind: "QoSClass", edit: edits{"spec.dscp": int64(64)}, want: "should be less than or equal to 63"},
	"guaranteed 1k":           {kind: "QoSClass", edit: egress("guaranteed", "1k")},
	"guaranteed 999":          {kind: "QoSClass", edit: egress("guaranteed", "999"), want: rates},
	"maximum 1T":              {kind: "QoSClass", edit: egress("maximum", "1T")},
	"maximum 1Ti":             {kind: "QoSClass", edit: egress("maximum", "1Ti"), want: rates},
	"maximum of half a bit":   {kind: "QoSClass", edit: egress("maximum", "1000500m"), want: rates},
	"maximum in milli":        {kind: "QoSClass", edit: egress("maximum", "100m"), want: rates},
	"burst":                   {kind: "QoSClass", edit: edits{"spec.egress": object{"maximum": "1G", "burst": "1500"}}},
	"burst of a guarantee":    {kind: "QoSClass", edit: edits{"spec.egress": object{"guaranteed": "1G", "burst": "1Gi"}}},
	"burst of half a packet":  {kind: "QoSClass", edit: edits{"spec.egress": object{"maximum": "1G", "burst": "750"}}, want: burst},
	"burst of 2Gi":            {kind: "QoSClass", edit: edits{"spec.egress": object{"maximum": "1G", "burst": "2Gi"}}, want: burst},
	"burst of nothing":        {kind: "QoSClass", edit: egress("burst", "64k"), want: burstAlone},
	"cost 0":                  {kind: "QoSClass", edit: edits{"spec.cost": int64(0), "spec.description": "cheap"}},
	"cost -1":                 {kind: "QoSClass", edit: edits{"spec.cost": int64(-1)}, want: "should be greater than or equal to 0"},
	"description of 257":      {kind: "QoSClass", edit: edits{"spec.description": strings.Repeat("a", 257)}, want: "may not be more than 256 bytes"},
}
