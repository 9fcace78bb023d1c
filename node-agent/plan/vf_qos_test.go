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
