package publish

import (
	"cmp"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// qosCondition is QoSEnforced. The reason is that of the first knob that is missing, the message names all.
func qosCondition(r plan.QoSReport) (status metav1.ConditionStatus, reason, message string) {
	if len(r.Missing) == 0 {
		return metav1.ConditionTrue, v1alpha1.ReasonQoSEnforced, ""
	}
	knobs := map[string][]string{}
	var problems []string
	for _, m := range r.Missing {
		if knobs[m.Problem] == nil {
			problems = append(problems, m.Problem)
		}
		knobs[m.Problem] = append(knobs[m.Problem], m.Knob)
	}
	texts := make([]string, 0, len(problems))
	for _, p := range problems {
		texts = append(texts, fmt.Sprintf("%s: %s", strings.Join(knobs[p], ", "), p))
	}
	return metav1.ConditionFalse, r.Missing[0].Reason, strings.Join(texts, "; ")
}

// enforcedQoS is status.qos.
func enforcedQoS(asked *plan.QoS, r plan.QoSReport) v1alpha1.EnforcedQoS {
	return v1alpha1.EnforcedQoS{
		ClassName: asked.Class, Egress: enforcedBandwidth(r.Egress), Ingress: enforcedBandwidth(r.Ingress),
		Priority: small(r.Priority), DSCP: small(r.DSCP),
	}
}

func enforcedBandwidth(b plan.Bandwidth) *v1alpha1.EnforcedBandwidth {
	if b == (plan.Bandwidth{}) {
		return nil
	}
	return &v1alpha1.EnforcedBandwidth{Guaranteed: quantity(b.Guaranteed), Maximum: quantity(b.Maximum), Burst: quantity(b.Burst)}
}

func quantity(value uint64) *resource.Quantity {
	if value == 0 {
		return nil
	}
	return resource.NewQuantity(int64(value), resource.DecimalSI) //nolint:gosec // Bit/s of a link, and bytes of a burst, are below 2^63.
}

func small(value *int) *int32 {
	if value == nil {
		return nil
	}
	number := int32(*value) //nolint:gosec // At most 63.
	return &number
}

// ToldQoS tells whether a status says of a class what a report does.
func ToldQoS(status v1alpha1.PodNetworkAttachmentStatus, asked *plan.QoS, r plan.QoSReport) bool {
	state, reason, message := qosCondition(r)
	want := enforcedQoS(asked, r)
	told := cmp.Or(meta.FindStatusCondition(status.Conditions, v1alpha1.AttachmentConditionQoSEnforced), &metav1.Condition{})
	return told.Status == state && told.Reason == reason && told.Message == message &&
		status.QoS != nil && equality.Semantic.DeepEqual(*status.QoS, want)
}
