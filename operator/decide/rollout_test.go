package decide

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// classUse is an attachment that has a class's values, and what is set aside for it.
func classUse(class *v1alpha1.QoSClass, booked *Rates, edits ...func(*v1alpha1.PodNetworkAttachment)) ClassUse {
	pna := &v1alpha1.PodNetworkAttachment{Spec: v1alpha1.PodNetworkAttachmentSpec{QoS: resolveQoS(class)}}
	pna.Generation = 3
	for _, edit := range edits {
		edit(pna)
	}
	return ClassUse{Attachment: pna, Booked: booked}
}

func bandwidthOf(guaranteed, maximum, burst string) *v1alpha1.Bandwidth {
	b := &v1alpha1.Bandwidth{}
	for text, field := range map[*string]**resource.Quantity{&guaranteed: &b.Guaranteed, &maximum: &b.Maximum, &burst: &b.Burst} {
		if *text != "" {
			*field = ptr(resource.MustParse(*text))
		}
	}
	return b
}

func TestRollOut(t *testing.T) {
	one, two := qosClass("gold", "1G", ""), qosClass("gold", "2G", "")
	marked := qosClass("gold", "1G", "")
	marked.Spec.DSCP, marked.Spec.Cost, marked.Spec.Description = ptr(int32(46)), 100, "for few"
	dear := qosClass("gold", "1G", "")
	dear.Spec.Cost = 100
	in := qosClass("gold", "1G", "1G")
	in.Spec.Ingress.Burst, in.Spec.Ingress.Maximum = ptr(resource.MustParse("64k")), ptr(resource.MustParse("5G"))
	burst := qosClass("gold", "1G", "1G")
	burst.Spec.Ingress.Burst = ptr(resource.MustParse("64k"))
	gone := metav1.Now()
	for name, test := range map[string]struct {
		class *v1alpha1.QoSClass
		use   ClassUse
		want  *v1alpha1.QoSClassSpec
	}{
		"nothing changed":           {one, classUse(one, &Rates{1e9, 0}), nil},
		"written otherwise":         {qosClass("gold", "1000M", ""), classUse(one, &Rates{1e9, 0}), nil},
		"only the cost":             {dear, classUse(one, &Rates{1e9, 0}), nil},
		"a mark":                    {marked, classUse(one, &Rates{1e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("1G", "", ""), DSCP: ptr(int32(46))}},
		"lowered":                   {one, classUse(two, &Rates{2e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("1G", "", "")}},
		"no guarantee any more":     {qosClass("gold", "", ""), classUse(two, &Rates{2e9, 0}), &v1alpha1.QoSClassSpec{}},
		"raised":                    {two, classUse(one, &Rates{1e9, 0}), nil},
		"raised to what is booked":  {two, classUse(one, &Rates{2e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("2G", "", "")}},
		"lowered and raised again":  {qosClass("gold", "3G", ""), classUse(one, &Rates{2e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("2G", "", "")}},
		"raised, claim not known":   {two, classUse(one, nil), nil},
		"lowered, claim not known":  {one, classUse(two, nil), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("1G", "", "")}},
		"a direction more":          {in, classUse(one, &Rates{1e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("1G", "", ""), Ingress: bandwidthOf("", "5G", "64k")}},
		"burst of no guarantee":     {burst, classUse(one, &Rates{1e9, 0}), nil},
		"made of a class that rose": {two, classUse(two, &Rates{1e9, 0}), &v1alpha1.QoSClassSpec{Egress: bandwidthOf("1G", "", "")}},
		"on its way out":            {marked, classUse(one, &Rates{1e9, 0}, func(p *v1alpha1.PodNetworkAttachment) { p.DeletionTimestamp = &gone }), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got *v1alpha1.QoSClassSpec
			if qos := RollOut(test.class, test.use); qos != nil {
				got = &qos.QoSClassSpec
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestQoSClassStatus(t *testing.T) {
	one, two := qosClass("gold", "1G", ""), qosClass("gold", "2G", "")
	two.Generation = 2
	says := func(status metav1.ConditionStatus, generation int64) func(*v1alpha1.PodNetworkAttachment) {
		return func(p *v1alpha1.PodNetworkAttachment) {
			p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionQoSEnforced, Status: status, ObservedGeneration: generation}}
		}
	}
	leaving := two.DeepCopy()
	leaving.DeletionTimestamp = ptr(metav1.Now())
	for name, test := range map[string]struct {
		facts  QoSClassFacts
		counts [4]int32 // attachments, current, enforced, restart
		reason string
		says   string
		inUse  string
	}{
		"nobody": {QoSClassFacts{Class: two}, [4]int32{}, v1alpha1.ReasonRolledOut, "All 0", ""},
		"all":    {QoSClassFacts{Class: two, Uses: []ClassUse{classUse(two, &Rates{2e9, 0})}}, [4]int32{1, 1, 0, 0}, v1alpha1.ReasonRolledOut, "All 1", ""},
		"on the way": {QoSClassFacts{Class: two, Uses: []ClassUse{classUse(two, &Rates{2e9, 0}), classUse(one, &Rates{2e9, 0}), classUse(one, &Rates{1e9, 0})}},
			[4]int32{3, 1, 0, 1}, v1alpha1.ReasonRollingOut, "1 of 3", ""},
		"restarts": {QoSClassFacts{Class: two, Uses: []ClassUse{classUse(two, &Rates{2e9, 0}), classUse(one, &Rates{1e9, 0})}},
			[4]int32{2, 1, 0, 1}, v1alpha1.ReasonRestartPods, "1 of 2 attachments keep a lower guarantee", ""},
		"enforced": {QoSClassFacts{Class: two, Uses: []ClassUse{
			classUse(two, nil, says("True", 3)), classUse(two, nil, says("True", 0)), classUse(two, nil, says("True", 2)), classUse(two, nil, says("False", 3))}},
			[4]int32{4, 4, 2, 0}, v1alpha1.ReasonRolledOut, "All 4", ""},
		"leaving, in use": {QoSClassFacts{Class: leaving, Uses: []ClassUse{classUse(two, nil)}, Networks: []string{"storage"}},
			[4]int32{1, 1, 0, 0}, v1alpha1.ReasonRolledOut, "All 1", "waits for 1 attachments and for these Networks to name another one in spec.qosClassName: storage."},
		"leaving, only attachments": {QoSClassFacts{Class: leaving, Uses: []ClassUse{classUse(two, nil)}},
			[4]int32{1, 1, 0, 0}, v1alpha1.ReasonRolledOut, "All 1", "waits for 1 attachments."},
	} {
		t.Run(name, func(t *testing.T) {
			status := QoSClassStatus(test.facts)
			if got := [4]int32{status.Attachments, status.Current, status.Enforced, status.Restart}; got != test.counts || status.ObservedGeneration != 2 {
				t.Errorf("counts %v, generation %d", got, status.ObservedGeneration)
			}
			rolledOut := meta.FindStatusCondition(status.Conditions, v1alpha1.QoSClassConditionRolledOut)
			if rolledOut.Reason != test.reason || !strings.Contains(rolledOut.Message, test.says) || (rolledOut.Status == "True") != (test.reason == v1alpha1.ReasonRolledOut) {
				t.Errorf("RolledOut %+v", rolledOut)
			}
			inUse := meta.FindStatusCondition(status.Conditions, v1alpha1.QoSClassConditionInUse)
			if (inUse != nil) != (test.inUse != "") || inUse != nil && !strings.Contains(inUse.Message, test.inUse) {
				t.Errorf("InUse %+v", inUse)
			}
		})
	}
}

// Writing the same status twice must not be a change, or the operator would write for ever.
func TestQoSClassStatusIsStable(t *testing.T) {
	class := qosClass("gold", "1G", "")
	class.Status = QoSClassStatus(QoSClassFacts{Class: class, Now: metav1.Unix(1000, 0)})
	if diff := cmp.Diff(class.Status, QoSClassStatus(QoSClassFacts{Class: class, Now: metav1.Unix(2000, 0)})); diff != "" {
		t.Error(diff)
	}
}
