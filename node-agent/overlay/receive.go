package overlay

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Replace implements watch.RackReceiver.
func (s *segment) Replace(all []*v1alpha1.PodNetworkAttachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	claims := make([]*claim, 0, len(all))
	for _, pna := range all {
		if c := s.read(pna); c != nil {
			claims = append(claims, c)
		}
	}
	s.rack.replace(claims)
	s.listed = true
	s.poke()
}

// Set implements watch.RackReceiver.
func (s *segment) Set(pna *v1alpha1.PodNetworkAttachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.read(pna); c != nil {
		s.rack.set(c)
	} else {
		s.rack.remove(types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name})
	}
	s.pokeIfChanged()
}

// Remove implements watch.RackReceiver.
func (s *segment) Remove(namespace, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := types.NamespacedName{Namespace: namespace, Name: name}
	delete(s.unusable, key)
	s.rack.remove(key)
	s.pokeIfChanged()
}

// Failed implements watch.RackReceiver. What is known stays.
func (s *segment) Failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.listed {
		s.trouble = newError(s.overlay, StepList, err)
	}
	s.log.Info("the rack's attachments may be out of date", "cause", err.Error())
}

// pokeIfChanged is not called for nothing: most events tell of a status.
func (s *segment) pokeIfChanged() {
	if len(s.rack.changed) > 0 {
		s.poke()
	}
}

// read logs what cannot be used, once.
func (s *segment) read(pna *v1alpha1.PodNetworkAttachment) *claim {
	c, err := claimOf(pna, s.self, s.overlay)
	key := types.NamespacedName{Namespace: pna.Namespace, Name: pna.Name}
	if err == nil {
		delete(s.unusable, key)
		return c
	}
	if text := err.Error(); s.unusable[key] != text {
		s.unusable[key] = text
		s.log.Error(err, "a PodNetworkAttachment cannot be reached over the overlay in full", "attachment", key.String())
	}
	return c
}
