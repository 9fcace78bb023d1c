package v1alpha1_test

import "strings"

func claimed(addresses ...any) edits { return edits{"spec.addresses": addresses} }

const (
	notCanonical = "addresses must be IP addresses in canonical form without prefix length"
	oneOfEach    = "a claim can name one address of each family"
)

var addressClaimCases = map[string]validationCase{
	"claim as it stands":        {kind: "AddressClaim"},
	"claim of one address":      {kind: "AddressClaim", edit: claimed("fd00:20::9")},
	"claim, IPv6 first":         {kind: "AddressClaim", edit: claimed("fd00:20::9", "10.20.0.9")},
	"claim of two of a family":  {kind: "AddressClaim", edit: claimed("10.20.0.9", "10.20.0.10"), want: oneOfEach},
	"claim of one twice":        {kind: "AddressClaim", edit: claimed("fd00::1", "fd00::1"), want: oneOfEach},
	"claim of three":            {kind: "AddressClaim", edit: claimed("10.20.0.9", "fd00::1", "fd00::2"), want: "must have at most 2 items"},
	"claim of none":             {kind: "AddressClaim", edit: edits{"spec.addresses": list{}}, want: "should have at least 1 items"},
	"claim with length":         {kind: "AddressClaim", edit: claimed("10.20.0.9/24"), want: notCanonical},
	"claim of a word":           {kind: "AddressClaim", edit: claimed("nine"), want: notCanonical},
	"claim, one a word":         {kind: "AddressClaim", edit: claimed("10.20.0.9", "nine"), want: notCanonical},
	"claim in long form":        {kind: "AddressClaim", edit: claimed("fd00:20:0::9"), want: notCanonical},
	"claim in upper case":       {kind: "AddressClaim", edit: claimed("FD00::9"), want: notCanonical},
	"claim of a mapped address": {kind: "AddressClaim", edit: claimed("::ffff:10.20.0.9"), want: notCanonical},
	"claim with zone":           {kind: "AddressClaim", edit: claimed("fe80::1%eth0"), want: notCanonical},

	"claim of a mac":                {kind: "AddressClaim", edit: edits{"spec.mac": "02:00:00:00:00:09", "spec.addresses": nil}},
	"claim of a mac with addresses": {kind: "AddressClaim", edit: edits{"spec.mac": "52:54:00:12:34:56"}},
	"claim of nothing":              {kind: "AddressClaim", edit: edits{"spec.addresses": nil}, want: "a claim must name addresses, a mac or both"},
	"claim of a multicast mac":      {kind: "AddressClaim", edit: edits{"spec.mac": "01:00:5e:00:00:01"}, want: "should match"},
	"claim of a mac in upper case":  {kind: "AddressClaim", edit: edits{"spec.mac": "02:00:00:00:00:AA"}, want: "should match"},
	"claim of the mac of zeros":     {kind: "AddressClaim", edit: edits{"spec.mac": "00:00:00:00:00:00"}, want: "mac must not be all zero"},

	"claim of an interface":           {kind: "AddressClaim", edit: edits{"spec.interface": "data0"}},
	"claim of an interface of 16":     {kind: "AddressClaim", edit: edits{"spec.interface": strings.Repeat("a", 16)}, want: "may not be more than 15"},
	"claim without network":           {kind: "AddressClaim", edit: edits{"spec.networkName": nil}, want: "spec.networkName: Required value"},
	"claim of a long network":         {kind: "AddressClaim", edit: edits{"spec.networkName": strings.Repeat("a", 49)}, want: "may not be more than 48"},
	"claim without pod":               {kind: "AddressClaim", edit: edits{"spec.podName": ""}, want: "should be at least 1 chars long"},
	"claim relabelled":                {kind: "AddressClaim", update: edits{"metadata.labels": object{"a": "b"}}},
	"claim for another pod":           {kind: "AddressClaim", update: edits{"spec.podName": "q"}, want: "spec is immutable: delete the claim and create another"},
	"claim of other addresses":        {kind: "AddressClaim", update: claimed("10.20.0.10"), want: "spec is immutable: delete the claim and create another"},
	"claim whose mac came afterwards": {kind: "AddressClaim", update: edits{"spec.mac": "02:00:00:00:00:09"}, want: "spec is immutable: delete the claim and create another"},
}
