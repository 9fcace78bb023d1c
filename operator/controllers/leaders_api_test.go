package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// storedKey is kind, namespace and name.
type storedKey struct {
	kind string
	types.NamespacedName
}

func keyFor(obj client.Object) storedKey {
	return storedKey{fmt.Sprintf("%T", obj), client.ObjectKeyFromObject(obj)}
}

func (k storedKey) compare(o storedKey) int {
	return strings.Compare(k.kind+"/"+k.String(), o.kind+"/"+o.String())
}

// storedChange is one change of the stored objects: before is nil for a creation, after for a deletion.
type storedChange struct{ before, after client.Object }

func (c storedChange) String() string {
	switch {
	case c.after == nil:
		return fmt.Sprintf("%s gone, %s", keyFor(c.before), c.before.GetUID())
	case c.before == nil:
		return fmt.Sprintf("%s created, %s", keyFor(c.after), c.after.GetUID())
	}
	return fmt.Sprintf("%s changed, %s, deleting %v", keyFor(c.after), c.after.GetUID(), c.after.GetDeletionTimestamp() != nil)
}

// store is the API server of the model: objects and the history of their changes. What it returns is never changed.
type store struct {
	objects map[storedKey]client.Object
	history []storedChange
	serial  int
}

func (s *store) put(obj client.Object) client.Object {
	key := keyFor(obj)
	before := s.objects[key]
	after := obj.DeepCopyObject().(client.Object)
	s.serial++
	after.SetResourceVersion(fmt.Sprint(s.serial))
	if before == nil {
		after.SetUID(types.UID(fmt.Sprintf("uid-%d", s.serial)))
		after.SetCreationTimestamp(metav1.Now())
	}
	s.objects[key] = after
	s.history = append(s.history, storedChange{before, after})
	return after
}

func (s *store) create(obj client.Object) error {
	if s.objects[keyFor(obj)] != nil {
		return apierrors.NewAlreadyExists(schema.GroupResource{}, obj.GetName())
	}
	copyInto(obj, s.put(obj))
	return nil
}

// update replaces an object if its version is the stored one. One that is being deleted goes with its last finalizer.
func (s *store) update(obj client.Object) error {
	stored := s.objects[keyFor(obj)]
	switch {
	case stored == nil || stored.GetUID() != obj.GetUID():
		return apierrors.NewNotFound(schema.GroupResource{}, obj.GetName())
	case stored.GetResourceVersion() != obj.GetResourceVersion():
		return conflict(obj)
	case !stored.GetDeletionTimestamp().IsZero() && len(obj.GetFinalizers()) == 0:
		s.remove(stored)
		return nil
	}
	s.put(obj)
	return nil
}

func (s *store) remove(stored client.Object) {
	delete(s.objects, keyFor(stored))
	s.history = append(s.history, storedChange{before: stored})
}

func (s *store) delete(obj client.Object, p *metav1.Preconditions) error {
	stored := s.objects[keyFor(obj)]
	switch {
	case stored == nil:
		return apierrors.NewNotFound(schema.GroupResource{}, obj.GetName())
	case p != nil && p.UID != nil && *p.UID != stored.GetUID(), p != nil && p.ResourceVersion != nil && *p.ResourceVersion != stored.GetResourceVersion():
		return conflict(obj)
	case len(stored.GetFinalizers()) == 0:
		s.remove(stored)
	case stored.GetDeletionTimestamp().IsZero():
		going := stored.DeepCopyObject().(client.Object)
		now := metav1.NewTime(time.Now())
		going.SetDeletionTimestamp(&now)
		s.put(going)
	}
	return nil
}

func conflict(obj client.Object) error {
	return apierrors.NewConflict(schema.GroupResource{}, obj.GetName(), fmt.Errorf("it was changed"))
}

// sorted objects of one kind: runs have to be repeatable.
func sorted[T client.Object](objects map[storedKey]client.Object) []T {
	var keys []storedKey
	for key, obj := range objects {
		if _, ok := obj.(T); ok {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, storedKey.compare)
	found := make([]T, 0, len(keys))
	for _, key := range keys {
		found = append(found, objects[key].(T))
	}
	return found
}

func (s *store) pods() []*corev1.Pod   { return sorted[*corev1.Pod](s.objects) }
func (s *store) nodes() []*corev1.Node { return sorted[*corev1.Node](s.objects) }
func (s *store) attachments() []*v1alpha1.PodNetworkAttachment {
	return sorted[*v1alpha1.PodNetworkAttachment](s.objects)
}

func (s *store) claims() []*v1alpha1.AddressClaim { return sorted[*v1alpha1.AddressClaim](s.objects) }

// pod with the UID, nil if it is gone.
func (s *store) pod(uid types.UID) *corev1.Pod {
	for _, pod := range s.pods() {
		if pod.UID == uid {
			return pod
		}
	}
	return nil
}
