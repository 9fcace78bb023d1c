package publish

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

func TestVFQoSCondition(t *testing.T) {
	refusal := "VF 3 of PF ens9 (0000:01:10.3): set minTxRate to 100: the driver igb of the PF does not take this rate: invalid argument"
	for name, test := range map[string]struct {
		qos     plan.VFQoS
		status  metav1.ConditionStatus
		reason  string
		message string
	}{
		"all of it": {plan.VFQoS{}, metav1.ConditionTrue, "Enforced", ""},
		"what no VF has": {plan.VFQoS{Unmet: map[string]string{"dscp": "no"}}, metav1.ConditionFalse, "QoSNotSupported",
			"not in force of QoSClass gold: dscp: no"},
		"what this driver refuses as well": {plan.VFQoS{Unmet: map[string]string{"dscp": "no"}, Refused: map[string]string{"egress.guaranteed": refusal}},
			metav1.ConditionFalse, "QoSNotSupported", "not in force of QoSClass gold: dscp: no; egress.guaranteed: " + refusal},
	} {
		t.Run(name, func(t *testing.T) {
			status, reason, message := vfQoS("gold", &test.qos)
			if status != test.status || reason != test.reason || message != test.message {
				t.Errorf("%s, %s, %q", status, reason, message)
			}
		})
	}
}
