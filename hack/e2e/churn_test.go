//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// What churn makes and removes in all, and at once.
const (
	churned       = 50
	churnedAtOnce = 10
)

// churn makes and removes pods of two networks, a macvlan and an overlay, while the agent of their node is killed at random moments
// of either. What is left after it is for the end of the scene to find.
func (s *scene) churn(node string, create func(name, selection string) *corev1.Pod) {
	s.t.Helper()
	s.network("churn", networkSpec("eth1"))
	s.network("churn-overlay", overlaySpec())
	random := s.random()
	for round := range churned / churnedAtOnce {
		var names []string
		for i := range churnedAtOnce {
			names = append(names, create(fmt.Sprintf("churn-%d-%d", round, i), "churn,churn-overlay").Name)
		}
		started := 2 * random.IntN(churnedAtOnce)
		s.waitAttachments(started, fmt.Sprintf("%d interfaces of round %d", started, round), func(a v1alpha1.PodNetworkAttachment) bool {
			return slices.Contains(names, a.Spec.Pod.Name) && meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.AttachmentConditionReady)
		})
		s.crashAgent(node)
		s.waitReady(3*time.Minute, names...)

		s.remove(false, names...)
		ended := random.IntN(churnedAtOnce)
		s.waitEnded(ended, names)
		s.crashAgent(node)
		s.waitGone(2*time.Minute, names...)
	}
}

// crashAgent kills the agent and replaces its pod, so that the kubelet does not make it wait.
func (s *scene) crashAgent(node string) {
	s.t.Helper()
	s.killAgent(node)
	s.freshAgent(node)
}

// waitEnded waits until the containers of some of the pods have ended, or the pods are gone.
func (s *scene) waitEnded(n int, names []string) {
	s.t.Helper()
	s.until(time.Minute, fmt.Sprintf("%d of %d pods to end", n, len(names)), func(ctx context.Context) error {
		var ended int
		for _, name := range names {
			if pod, err := s.get(ctx, name); err != nil || cluster.PodReady(pod) != nil {
				ended++
			}
		}
		if ended < n {
			return fmt.Errorf("there are %d", ended)
		}
		return nil
	})
}

// random is drawn anew for each run, and by a seed that a run has printed.
func (s *scene) random() *rand.Rand {
	s.t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		s.must(err)
	}
	s.t.Logf("%s=%d", seedVariable, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// setOnDoor: the pod of a StatefulSet comes back to the node that it left a moment ago, with the MAC of the links that are still
// going there.
func (s *scene) setOnDoor() {
	s.t.Helper()
	spec := networkSpec("eth1")
	spec.IPAM.Sticky = v1alpha1.StickyPodName
	spec.IPAM.Quarantine = &metav1.Duration{}
	s.network("sticky-door", spec)
	set := s.statefulSetOf("db", s.podOverCNI("db", "sticky-door"))
	s.waitReady(time.Minute, "db-0")
	first := s.attachments("db-0")["net1"]
	s.remove(false, "db-0")
	s.waitReplaced(first)
	s.sameAddresses(first, "db-0")
	s.cameThrough("db-0", "CNI")
	s.must(s.patchSet(set, func(spec *appsv1.StatefulSetSpec) { *spec.Replicas = 0 }))
	s.waitGone(time.Minute, "db-0")
}

// waitReplaced waits until a pod of the same name as that of an attachment is there and Ready.
func (s *scene) waitReplaced(old v1alpha1.PodNetworkAttachment) {
	s.t.Helper()
	name := old.Spec.Pod.Name
	s.until(time.Minute, "pod "+name+" to be another one", func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err == nil && pod.UID == old.Spec.Pod.UID {
			err = fmt.Errorf("it is still the old one, deleted at %v", pod.DeletionTimestamp)
		}
		return err
	})
	s.waitReady(2*time.Minute, name)
}
