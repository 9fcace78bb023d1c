package publish

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// vfQoS tells whether a VF has all that its class asks for, and which knobs it has not.
func vfQoS(class string, q *plan.VFQoS) (status metav1.ConditionStatus, reason, message string) {
	unmet := maps.Clone(q.Unmet)
	if unmet == nil {
		unmet = map[string]string{}
	}
	maps.Copy(unmet, q.Refused)
	if len(unmet) == 0 {
		return metav1.ConditionTrue, v1alpha1.ReasonQoSEnforced, ""
	}
	var clauses []string
	for _, knob := range slices.Sorted(maps.Keys(unmet)) {
		clauses = append(clauses, knob+": "+unmet[knob])
	}
	return metav1.ConditionFalse, v1alpha1.ReasonQoSNotSupported, fmt.Sprintf("not in force of QoSClass %s: %s", class, strings.Join(clauses, "; "))
}
