package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestVFQoS(t *testing.T) {
	gold := v1alpha1.QoSClassSpec{
		Egress:   &v1alpha1.Bandwidth{Guaranteed: ptr(resource.MustParse("100M")), Maximum: ptr(resource.MustParse("1G"))},
		Priority: ptr(int32(5)),
	}
	all := *gold.DeepCopy()
	all.Egress.Burst, all.DSCP = ptr(resource.MustParse("64Ki")), ptr(int32(46))
	all.Ingress = all.Egress.DeepCopy()
	const receives = "a network card does not limit what a VF receives"
	for name, c := range map[string]struct {
		class  v1alpha1.QoSClassSpec
		change func(*v1alpha1.SRIOVSpec)
		want   VFQoS
	}{
		"on a VLAN": {gold, func(s *v1alpha1.SRIOVSpec) { s.VLAN = ptr(int32(7)) },
			VFQoS{MinTxRate: ptr(100), MaxTxRate: ptr(1000), VLANQoS: ptr(5)}},
		"untagged": {gold, func(*v1alpha1.SRIOVSpec) {},
			VFQoS{MinTxRate: ptr(100), MaxTxRate: ptr(1000), Unmet: map[string]string{"priority": "the Network sets no VLAN, in whose tag the priority would stand"}}},
		"the Network says the same": {gold, func(s *v1alpha1.SRIOVSpec) {
			s.VLAN, s.VLANQoS, s.MinTxRate, s.MaxTxRate = ptr(int32(7)), ptr(int32(5)), gold.Egress.Guaranteed, gold.Egress.Maximum
		}, VFQoS{}},
		"the Network says something else": {gold, func(s *v1alpha1.SRIOVSpec) {
			s.VLAN, s.VLANQoS, s.MaxTxRate = ptr(int32(7)), ptr(int32(2)), ptr(resource.MustParse("500M"))
		}, VFQoS{MinTxRate: ptr(100), Unmet: map[string]string{
			"priority": "the Network's vlanQoS 2 counts", "egress.maximum": "the Network's maxTxRate of 500 Mbit/s counts"}}},
		"more than a VF has": {all, func(s *v1alpha1.SRIOVSpec) { s.VLAN = ptr(int32(7)) },
			VFQoS{MinTxRate: ptr(100), MaxTxRate: ptr(1000), VLANQoS: ptr(5), Unmet: map[string]string{
				"egress.burst": "a VF has no such limit", "dscp": "what a VF sends does not pass the node",
				"ingress.guaranteed": receives, "ingress.maximum": receives, "ingress.burst": receives}}},
		"part of a Mbit/s": {v1alpha1.QoSClassSpec{Egress: &v1alpha1.Bandwidth{Maximum: ptr(resource.MustParse("1500k"))}}, func(*v1alpha1.SRIOVSpec) {},
			VFQoS{Unmet: map[string]string{"egress.maximum": "1500k is not a whole number of Mbit/s, which is what network cards know"}}},
	} {
		t.Run(name, func(t *testing.T) {
			pna := vfOrder(c.change)
			pna.Spec.QoS = &v1alpha1.ResolvedQoS{ClassName: "gold", QoSClassSpec: c.class}
			got, err := FromAttachment(pna, vfDevice(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.want.Unmet == nil {
				c.want.Unmet = map[string]string{}
			}
			if diff := cmp.Diff(&c.want, got.VF.QoS); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	if (*VFQoS)(nil).Settings() != (VFSettings{}) {
		t.Error("no class asks for something")
	}
}

// What a VF has is told, and what it has not with the reason: what no VF can do, what this driver refused.
func TestVFQoSReport(t *testing.T) {
	planned := QoS{Class: "gold", Egress: Bandwidth{Guaranteed: 100_000_000, Maximum: 1_000_000_000}, Priority: ptr(0), DSCP: ptr(46)}
	const refusal, passes = "the driver refuses it", "what a VF sends does not pass the node"
	unmet := map[string]string{KnobDSCP: passes}
	const untold = "the network card has not been told of it yet"
	missing := func(knob, problem string) MissingKnob {
		return MissingKnob{knob, v1alpha1.ReasonQoSNotSupported, problem}
	}
	for name, c := range map[string]struct {
		vf   VFQoS
		want QoSReport
	}{
		"told": {VFQoS{Unmet: unmet, Told: &VFOutcome{MaxTxRate: 1000, VLANQoS: ptr(0), Refused: map[string]string{KnobEgressGuaranteed: refusal}}},
			QoSReport{Egress: Bandwidth{Maximum: 1_000_000_000}, Priority: ptr(0), Missing: []MissingKnob{missing(KnobEgressGuaranteed, refusal), missing(KnobDSCP, passes)}}},
		"the card stays with what it had": {VFQoS{Unmet: unmet, Told: &VFOutcome{MaxTxRate: 500, MinTxRate: 100, Refused: map[string]string{KnobEgressMaximum: refusal}}},
			QoSReport{Egress: Bandwidth{Guaranteed: 100_000_000, Maximum: 500_000_000}, Missing: []MissingKnob{missing(KnobEgressMaximum, refusal), missing(KnobDSCP, passes)}}},
		"not yet told": {VFQoS{Unmet: unmet}, QoSReport{Missing: []MissingKnob{
			{KnobEgressGuaranteed, v1alpha1.ReasonQoSFailed, untold}, {KnobEgressMaximum, v1alpha1.ReasonQoSFailed, untold},
			{KnobPriority, v1alpha1.ReasonQoSFailed, untold}, missing(KnobDSCP, passes)}}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.vf.Report(planned)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// The card has what the Network says, and of a class what it took; before it was told of the class nobody knows.
func TestSettingsInForce(t *testing.T) {
	own := VFSettings{VLAN: ptr(100), MaxTxRate: ptr(500)}
	class := VFQoS{MinTxRate: ptr(100), VLANQoS: ptr(5)}
	told := class
	told.Told = &VFOutcome{MaxTxRate: 500, MinTxRate: 0, VLANQoS: ptr(5)}
	for name, c := range map[string]struct {
		class *VFQoS
		want  VFSettings
	}{
		"no class": {nil, own},
		"not told": {&class, own},
		"told":     {&told, VFSettings{VLAN: ptr(100), MaxTxRate: ptr(500), MinTxRate: ptr(0), VLANQoS: ptr(5)}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, (&VF{Settings: own, QoS: c.class}).InForce()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
