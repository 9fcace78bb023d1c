package sandboxes

import (
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// entry is a sandbox of a pod that selects networks.
type entry struct {
	Sandbox
	// busy has room for the one goroutine that may do kernel work on the sandbox.
	busy chan struct{}

	// The fields below are guarded by state.mu.
	//
	// now is the sandbox with what it is to have since its pod was edited.
	now   Sandbox
	phase phase
	due   bool
	// made is what the last attach of this process found, in the order of the selection.
	made []publish.Interface
	// unguarded is set while an attached sandbox waits for the programs on its links.
	unguarded bool
	// lacks are interfaces that are ordered and could not be added, or not taken away; released the claims of those that were.
	lacks    []publish.Interface
	released []plan.Claim
	// tried are the changes of orders that were followed last, whatever came of it.
	tried []change
}

func newEntry(sandbox Sandbox, p phase) *entry {
	return &entry{Sandbox: sandbox, now: sandbox, busy: make(chan struct{}, 1), phase: p}
}

// state is guarded by one lock, which is never held during I/O: the hook takes it.
type state struct {
	mu      sync.Mutex
	plans   map[types.UID]plan.Pod
	entries map[string]*entry
	// bystanders are sandboxes of pods that select nothing, by ID: they may be given interfaces later.
	bystanders map[string]Sandbox
	// synchronized is closed while the runtime is connected and has listed its sandboxes.
	synchronized chan struct{}
	// clearing holds a channel for each pod whose stopped sandbox still has links; it is closed when they are gone.
	clearing map[types.UID]chan struct{}
	// owed are dropped attachments whose VF or NIC is not clean yet.
	owed map[planned]owed
	// freed is closed when somebody has ceased to have a device.
	freed chan struct{}
}

func newState(pods []plan.Pod) *state {
	s := &state{
		plans:        map[types.UID]plan.Pod{},
		entries:      map[string]*entry{},
		bystanders:   map[string]Sandbox{},
		synchronized: make(chan struct{}),
		clearing:     map[types.UID]chan struct{}{},
		owed:         map[planned]owed{},
		freed:        make(chan struct{}),
	}
	for _, pod := range pods {
		s.plans[pod.UID] = pod
	}
	return s
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// hold records that a sandbox may get addresses, before its plan is looked up: the loop releases nothing of a pod
// that holds, so plan and addresses cannot vanish under the hook.
func (s *state) hold(sandbox Sandbox) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[sandbox.ID]
	if e == nil {
		e = newEntry(sandbox, attaching)
		s.entries[sandbox.ID] = e
	}
	e.phase, e.now = attaching, sandbox
	return e
}

// find has a sandbox looked at that is not known.
func (s *state) find(sandbox Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[sandbox.ID] == nil {
		s.entries[sandbox.ID] = newEntry(sandbox, found)
	}
}

func (s *state) entry(id string) (*entry, phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		return e, e.phase
	}
	return nil, stopped
}

// idle returns the sandboxes that nobody works on.
func (s *state) idle() []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		if e.phase != attaching {
			list = append(list, e)
		}
	}
	return list
}

func (s *state) setPhase(e *entry, p phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.phase, e.due = p, false
}

// putOff has a sandbox looked at later, unless it was stopped while it waited.
func (s *state) putOff(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.phase != stopped {
		e.phase, e.due = broken, false
	}
}

// setBroken has a sandbox repaired that was found to lack something.
func (s *state) setBroken(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.phase == attached {
		e.phase, e.due = broken, true
	}
}

func (s *state) setMade(e *entry, made []publish.Interface) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.made, e.phase, e.due = made, attached, false
}

func (s *state) setGuarding(e *entry, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.unguarded = yes
}

func (s *state) guarding(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.unguarded
}

func (s *state) made(e *entry) []publish.Interface {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.made
}

func (s *state) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, id)
}

// replace makes the known sandboxes those of a list. What is known of a sandbox that stays is kept.
func (s *state) replace(list []Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.entries
	s.entries, s.bystanders = make(map[string]*entry, len(list)), map[string]Sandbox{}
	for _, sandbox := range list {
		e := before[sandbox.ID]
		if e == nil && sandbox.selectsNothing() {
			s.bystanders[sandbox.ID] = sandbox
			continue
		}
		if e == nil {
			e = newEntry(sandbox, found)
		} else if e.phase == attached {
			e.due = true
		}
		s.entries[sandbox.ID] = e
	}
}

// connect says that the runtime comes to the door, and that the known sandboxes are all.
func (s *state) connect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isClosed(s.synchronized) {
		close(s.synchronized)
	}
}

func (s *state) disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.synchronized) {
		s.synchronized = make(chan struct{})
	}
}

func (s *state) whenSynchronized() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synchronized
}

// markDue has every attached or broken sandbox looked at again.
func (s *state) markDue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		e.due = true
	}
}

// startVerify tells whether the caller is the one to verify the sandbox.
func (s *state) startVerify(id string) (*entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil || e.phase == attaching || e.phase == stopped {
		return nil, false
	}
	e.phase = attaching
	return e, true
}

// planned returns the plan of each selection in order, and the selections that have none.
func (s *state) planned(podUID types.UID, selections []selection.Selection) (found []plan.Attachment, missing []selection.Selection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plannedLocked(podUID, selections)
}

func (s *state) plannedLocked(podUID types.UID, selections []selection.Selection) (found []plan.Attachment, missing []selection.Selection) {
	attachments := s.plans[podUID].Attachments
	for _, selected := range selections {
		i := slices.IndexFunc(attachments, func(a plan.Attachment) bool {
			return a.Interface == selected.Interface && (a.Network == selected.Network || selected.Network == "" && isOf(a, selected))
		})
		if i < 0 {
			missing = append(missing, selected)
			continue
		}
		found = append(found, attachments[i])
	}
	return found, missing
}

// isOf tells whether the device is that of the request which was selected, or of the claim that a class has. The attachment
// says which Network it is.
func isOf(a plan.Attachment, selected selection.Selection) bool {
	return a.PodClaimName == selected.PodClaimName && a.Claim != nil && (selected.ByClass() || a.Claim.BaseRequest() == selected.Request)
}

// plan returns a pod's plan, which the caller must not change.
func (s *state) plan(podUID types.UID) (plan.Pod, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod, ok := s.plans[podUID]
	return pod, ok
}

func (s *state) setPlan(pod plan.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plans[pod.UID] = pod
}

// dropPlan takes one attachment out of a pod's plan and returns it, unless a sandbox of the pod may be using it. Its
// device is owed from then on.
func (s *state) dropPlan(p planned) (dropped plan.Attachment, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pod, exists := s.plans[p.PodUID]
	dropped, _ = attachmentOf(pod, p.Name)
	if !exists || s.usesLocked(p.PodUID, dropped.Interface) {
		return plan.Attachment{}, false
	}
	left := withoutAttachment(pod, p.Name)
	s.plans[p.PodUID] = left
	if len(left.Attachments) == 0 {
		delete(s.plans, p.PodUID)
	}
	s.owe(p, pod, dropped)
	s.freeLocked()
	return dropped, true
}

func (s *state) holding(podUID types.UID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holdingLocked(podUID)
}

func (s *state) holdingLocked(podUID types.UID) bool {
	for _, e := range s.entries {
		if e.PodUID == podUID && e.phase.holds() {
			return true
		}
	}
	return false
}

// uses tells whether a sandbox of the pod may have the interface. What a sandbox is to have is known before the kernel is told.
func (s *state) uses(podUID types.UID, iface string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usesLocked(podUID, iface)
}

func (s *state) usesLocked(podUID types.UID, iface string) bool {
	for _, e := range s.entries {
		if e.PodUID == podUID && e.phase.holds() && usesInterface(e.interfaces(), iface) {
			return true
		}
	}
	return false
}

// interfaces are those that the sandbox is to have; nil where that cannot be read, for all.
func (e *entry) interfaces() []string {
	selections, err := e.now.selections()
	if err != nil {
		return nil
	}
	names := make([]string, 0, len(selections))
	for _, s := range selections {
		names = append(names, s.Interface)
	}
	return names
}

func (s *state) snapshot() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := snapshot{Synchronized: isClosed(s.synchronized), Interfaces: map[planned]string{}}
	for _, e := range s.entries {
		snap.Sandboxes = append(snap.Sandboxes, held{ID: e.ID, PodUID: e.PodUID, Phase: e.phase, Due: e.due, Interfaces: e.interfaces(), Tried: e.tried})
	}
	for uid, pod := range s.plans {
		for _, a := range pod.Attachments {
			p := planned{PodUID: uid, Name: a.Name}
			snap.Planned, snap.Interfaces[p] = append(snap.Planned, p), a.Interface
		}
	}
	return snap
}

// withoutAttachment and withAttachment return a copy: plans are shared and never changed. An attachment keeps its place.
func withoutAttachment(pod plan.Pod, name string) plan.Pod {
	pod.Attachments = slices.DeleteFunc(slices.Clone(pod.Attachments), func(a plan.Attachment) bool { return a.Name == name })
	return pod
}

func withAttachment(pod plan.Pod, attachment plan.Attachment) plan.Pod {
	pod.Attachments = slices.Clone(pod.Attachments)
	i := slices.IndexFunc(pod.Attachments, func(a plan.Attachment) bool { return a.Name == attachment.Name })
	if i < 0 {
		pod.Attachments = append(pod.Attachments, attachment)
	} else {
		pod.Attachments[i] = attachment
	}
	return pod
}
