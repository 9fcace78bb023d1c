package sandboxes

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// owed is an attachment that was dropped and whose VF or NIC has not been seen to be clean since. It is out of the hook's reach, and
// stays in the ledger.
type owed struct {
	planned
	plan.Attachment
	pod plan.Pod
	// dirty tells why the last try failed, restoring that one is under way, and again when the next may begin.
	dirty     string
	restoring bool
	again     time.Time
}

// attachment returns one planned attachment.
func (s *state) attachment(p planned) (plan.Attachment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return attachmentOf(s.plans[p.PodUID], p.Name)
}

func attachmentOf(pod plan.Pod, name string) (plan.Attachment, bool) {
	i := slices.IndexFunc(pod.Attachments, func(a plan.Attachment) bool { return a.Name == name })
	if i < 0 {
		return plan.Attachment{}, false
	}
	return pod.Attachments[i], true
}

func (s *state) pods() []plan.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]plan.Pod, 0, len(s.plans))
	for _, pod := range s.plans {
		list = append(list, pod)
	}
	return list
}

// reason of an event about the device.
func (o owed) reason(ofVF, ofNIC string) string {
	if o.HostDevice != nil {
		return ofNIC
	}
	return ofVF
}

// owe takes over a dropped attachment if anything was done to a device of the node for it.
func (s *state) owe(p planned, pod plan.Pod, a plan.Attachment) {
	if a.RecordedOn() == "" {
		return
	}
	pod.Attachments = nil
	s.owed[p] = owed{planned: p, Attachment: a, pod: pod}
}

// holderOf tells who but me has a VF or a NIC, or links on the latter, as a clause, and when it is worth asking again.
func (s *state) holderOf(lent string, me planned) (clause string, freed <-chan struct{}, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owed {
		if o.Lent() != lent {
			continue
		}
		clause = fmt.Sprintf("is being taken back from pod %s/%s", o.pod.Namespace, o.pod.Name)
		if o.dirty != "" {
			clause = fmt.Sprintf("of pod %s/%s before is not clean: %s", o.pod.Namespace, o.pod.Name, o.dirty)
		}
		return clause, s.freed, true
	}
	for _, pod := range s.plans {
		for _, a := range pod.Attachments {
			if (a.Lent() == lent || a.Macvlan != nil && a.Device.Uplink == lent) && (planned{pod.UID, a.Name}) != me {
				return fmt.Sprintf("is still that of pod %s/%s", pod.Namespace, pod.Name), s.freed, true
			}
		}
	}
	return "", nil, false
}

// vfsInUse are the PCI addresses of the VFs that pods have or that have not come back from them.
func (s *state) vfsInUse() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owed {
		if o.HasVF() {
			list = append(list, o.Lent())
		}
	}
	for _, pod := range s.plans {
		for _, a := range pod.Attachments {
			if a.HasVF() {
				list = append(list, a.Lent())
			}
		}
	}
	return list
}

// lentNICs are the NICs that pods have or that have not come back from them, without VFs, of which their PFs tell.
func (s *state) lentNICs() (list []plan.Attachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owed {
		if o.HostDevice != nil && !o.HasVF() {
			list = append(list, o.Attachment)
		}
	}
	for _, pod := range s.plans {
		for _, a := range pod.Attachments {
			if a.HostDevice != nil && !a.HasVF() && a.RecordedOn() != "" {
				list = append(list, a)
			}
		}
	}
	return list
}

// owes tells whether a VF or a NIC has not come back from a pod.
func (s *state) owes(lent string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.owed {
		if o.Lent() == lent {
			return true
		}
	}
	return false
}

// freeLocked has those look again who wait for a device.
func (s *state) freeLocked() {
	close(s.freed)
	s.freed = make(chan struct{})
}

// startRestoring returns the attachments whose device is to be given back now, once.
func (s *state) startRestoring(now time.Time) (list []owed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p, o := range s.owed {
		if o.restoring || now.Before(o.again) {
			continue
		}
		o.restoring = true
		s.owed[p] = o
		list = append(list, o)
	}
	return list
}

// dirty ends a try that failed, and tells whether the reason is another one than before.
func (s *state) dirty(p planned, reason string, again time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owed[p]
	changed := o.dirty != reason
	o.dirty, o.restoring, o.again = reason, false, again
	s.owed[p] = o
	return changed
}

func (s *state) paid(p planned) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owed, p)
	s.freeLocked()
}

// restores tells whether the attachment's device is not known to be clean, nor to be dirty.
func (s *state) restores(podUID types.UID, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.owed[planned{podUID, name}]
	return ok && o.dirty == ""
}

// netns is the namespace of a sandbox of the pod, "" where none is known.
func (s *state) netns(podUID types.UID) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.PodUID == podUID && e.NetNS != "" {
			return e.NetNS
		}
	}
	return ""
}

// owedBy are the attachments of a pod whose devices are not back.
func (s *state) owedBy(podUID types.UID) []plan.Attachment {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owedByLocked(podUID, "")
}

func (s *state) owedByLocked(podUID types.UID, but string) (list []plan.Attachment) {
	for p, o := range s.owed {
		if p.PodUID == podUID && p.Name != but {
			list = append(list, o.Attachment)
		}
	}
	return list
}

// record is what the ledger has to have of a pod: what is planned and what is owed.
func (s *state) record(podUID types.UID) plan.Pod { return s.recordWithout(planned{PodUID: podUID}) }

func (s *state) recordWithout(p planned) plan.Pod {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod, ok := s.plans[p.PodUID]
	for _, o := range s.owed {
		if !ok && o.PodUID == p.PodUID {
			pod = o.pod
		}
	}
	pod.UID = p.PodUID
	pod.Attachments = slices.Concat(pod.Attachments, s.owedByLocked(p.PodUID, p.Name))
	return pod
}

// lentLocks has one lock for each VF or NIC, held by whoever works on it in the kernel.
type lentLocks struct {
	mu    sync.Mutex
	locks map[string]chan struct{}
}

func (l *lentLocks) of(lent string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks[lent] == nil {
		l.locks[lent] = make(chan struct{}, 1)
	}
	return l.locks[lent]
}

// lock takes the locks of all devices that the attachments have, in the order of their names.
func (l *lentLocks) lock(ctx context.Context, attachments ...plan.Attachment) (unlock func(), err error) {
	var names []string
	for _, a := range attachments {
		if a.Lent() != "" {
			names = append(names, a.Lent())
		}
	}
	slices.Sort(names)
	var held []chan struct{}
	unlock = func() {
		for _, lock := range held {
			<-lock
		}
	}
	for _, name := range slices.Compact(names) {
		lock := l.of(name)
		select {
		case lock <- struct{}{}:
			held = append(held, lock)
		case <-ctx.Done():
			unlock()
			return nil, fmt.Errorf("other work on %s has not ended: %w", name, ctx.Err())
		}
	}
	return unlock, nil
}
