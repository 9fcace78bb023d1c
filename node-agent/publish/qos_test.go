package publish

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

func qosReport(missing ...plan.MissingKnob) plan.QoSReport {
	priority := 5
	return plan.QoSReport{Egress: plan.Bandwidth{Guaranteed: 60_000_000, Burst: 1 << 20}, Priority: &priority, Missing: missing}
}

func TestQoSCondition(t *testing.T) {
	foreign := func(knob string) plan.MissingKnob {
		return plan.MissingKnob{Knob: knob, Reason: v1alpha1.ReasonForeignQdisc, Problem: "somebody else's"}
	}
	for name, c := range map[string]struct {
		missing []plan.MissingKnob
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		"all":  {nil, metav1.ConditionTrue, v1alpha1.ReasonQoSEnforced, ""},
		"one":  {[]plan.MissingKnob{foreign("dscp")}, metav1.ConditionFalse, v1alpha1.ReasonForeignQdisc, "dscp: somebody else's"},
		"more": {[]plan.MissingKnob{foreign("egress.maximum"), {Knob: "priority", Reason: "x", Problem: "no tags"}, foreign("dscp")}, metav1.ConditionFalse, v1alpha1.ReasonForeignQdisc, "egress.maximum, dscp: somebody else's; priority: no tags"},
	} {
		status, reason, message := qosCondition(qosReport(c.missing...))
		if diff := cmp.Diff([]string{string(c.status), c.reason, c.message}, []string{string(status), reason, message}); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestToldQoS(t *testing.T) {
	asked := &plan.QoS{Class: "gold"}
	told := func(r plan.QoSReport) (s v1alpha1.PodNetworkAttachmentStatus) {
		status, reason, message := qosCondition(r)
		s.Conditions = []metav1.Condition{{Type: v1alpha1.AttachmentConditionQoSEnforced, Status: status, Reason: reason, Message: message}}
		// As it comes back from the API server.
		text, err := json.Marshal(enforcedQoS(asked, r))
		if err == nil {
			err = json.Unmarshal(text, &s.QoS)
		}
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	missing := plan.MissingKnob{Knob: "dscp", Reason: "x", Problem: "y"}
	other := qosReport()
	other.Egress.Guaranteed++
	for name, c := range map[string]struct {
		status v1alpha1.PodNetworkAttachmentStatus
		now    plan.QoSReport
		want   bool
	}{
		"the same":         {told(qosReport()), qosReport(), true},
		"the same trouble": {told(qosReport(missing)), qosReport(missing), true},
		"trouble is over":  {told(qosReport(missing)), qosReport(), false},
		"another value":    {told(qosReport()), other, false},
		"nothing told":     {v1alpha1.PodNetworkAttachmentStatus{}, qosReport(), false},
	} {
		if got := ToldQoS(c.status, asked, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
