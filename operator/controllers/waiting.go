package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/operator/decide"
)

// waiting remembers which pods have no answer yet, by the networks they select. A pod is added before its
// snapshot is taken and removed after it was planned, so that a change in between is never missed.
type waiting struct {
	mu        sync.Mutex
	networks  map[types.NamespacedName][]string
	byNetwork map[string]map[types.NamespacedName]bool
	// lookedAt is for which version of the bookings the scheduler was asked to look at a pod again.
	lookedAt map[types.NamespacedName]int
}

func newWaiting() *waiting {
	return &waiting{networks: map[types.NamespacedName][]string{}, byNetwork: map[string]map[types.NamespacedName]bool{}, lookedAt: map[types.NamespacedName]int{}}
}

func (w *waiting) add(pod types.NamespacedName, networks []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(pod)
	w.networks[pod] = networks
	for _, n := range networks {
		if w.byNetwork[n] == nil {
			w.byNetwork[n] = map[types.NamespacedName]bool{}
		}
		w.byNetwork[n][pod] = true
	}
}

func (w *waiting) remove(pod types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(pod)
	delete(w.lookedAt, pod)
}

// overlooked tells whether the scheduler was not asked about the pod since the bookings are as they are.
func (w *waiting) overlooked(pod types.NamespacedName, version int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lookedAt[pod] != version
}

// askedFor is after the scheduler was asked.
func (w *waiting) askedFor(pod types.NamespacedName, version int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookedAt[pod] = version
}

func (w *waiting) drop(pod types.NamespacedName) {
	for _, n := range w.networks[pod] {
		delete(w.byNetwork[n], pod)
		if len(w.byNetwork[n]) == 0 {
			delete(w.byNetwork, n)
		}
	}
	delete(w.networks, pod)
}

// forNetwork returns the pods that wait and select the network, or any.
func (w *waiting) forNetwork(network string) []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pods []types.NamespacedName
	for _, name := range []string{network, decide.AnyNetwork} {
		for pod := range w.byNetwork[name] {
			pods = append(pods, pod)
		}
	}
	return pods
}

// where returns the waiting pods that match.
func (w *waiting) where(match func(types.NamespacedName) bool) []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	var pods []types.NamespacedName
	for pod := range w.networks {
		if match(pod) {
			pods = append(pods, pod)
		}
	}
	return pods
}
