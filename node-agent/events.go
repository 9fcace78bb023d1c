package main

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Events on what is in no namespace are in this one.
// +kubebuilder:rbac:groups="",resources=events,namespace=default,verbs=create;patch

// nodeEvents are those on the agent's Node.
type nodeEvents struct {
	broadcaster record.EventBroadcaster
	recorder    record.EventRecorder
	node        *corev1.ObjectReference
}

func newNodeEvents(client corev1client.EventsGetter, node string) *nodeEvents {
	broadcaster := record.NewBroadcaster()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.Events("")})
	return &nodeEvents{
		broadcaster: broadcaster,
		recorder:    broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "multinet-agent", Host: node}),
		// The kubelet's events have the name for UID too, and kubectl describe looks for those.
		node: &corev1.ObjectReference{Kind: "Node", Name: node, UID: types.UID(node)},
	}
}

// tell returns at once; the event is written later, and lost if the API server does not take it for a while.
func (e *nodeEvents) tell(reason, message string) {
	kind := corev1.EventTypeNormal
	if reason == v1alpha1.ReasonVFNotClean || reason == v1alpha1.ReasonNICNotClean || reason == v1alpha1.ReasonNICGone {
		kind = corev1.EventTypeWarning
	}
	e.recorder.Event(e.node, kind, reason, message)
}

func (e *nodeEvents) stop() { e.broadcaster.Shutdown() }
