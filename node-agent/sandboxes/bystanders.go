package sandboxes

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/selection"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// due is what a new sandbox must have. Where the pod was edited before, what it was not created with may be refused by the operator
// or come a moment later: the sandbox then begins without it, and is given it when it is ordered.
func (k *Keeper) due(sandbox Sandbox) (Sandbox, []selection.Selection, error) {
	selections, err := sandbox.selections()
	if err != nil || sandbox.AtCreation == nil {
		return sandbox, selections, err
	}
	created, err := selection.Parse(*sandbox.AtCreation)
	if err != nil {
		return sandbox, nil, err
	}
	_, missing := k.state.planned(sandbox.PodUID, selections)
	for _, m := range missing {
		if !slices.ContainsFunc(created, func(c selection.Selection) bool { return c.Interface == m.Interface && c.String() == m.String() }) {
			sandbox.Without = append(sandbox.Without, m.Interface)
		}
	}
	selections, err = sandbox.selections()
	return sandbox, selections, err
}

func (s Sandbox) selectsNothing() bool {
	selections, err := s.selections()
	return err == nil && len(selections) == 0
}

// passBy remembers a sandbox that has nothing of ours.
func (k *Keeper) passBy(sandbox Sandbox) {
	if sandbox.NetNS == "" {
		return
	}
	k.state.addBystander(sandbox)
	if len(k.Attachments.ForPod(sandbox.PodUID)) > 0 {
		k.Wake() // it is to be given something at once
	}
	if k.Door != DoorCNI {
		return // the runtime lists it
	}
	if err := k.Present.Put(sandbox.ID, Present{Sandbox: sandbox}); err != nil {
		k.Log.Error(err, "no interface can be added to a pod later", "pod", sandbox.Namespace+"/"+sandbox.Name, "id", sandbox.ID)
	}
}

// passed tells whether a sandbox has nothing of ours, and forgets it.
func (k *Keeper) passed(sandbox Sandbox) bool {
	if !k.state.removeBystander(sandbox.ID) {
		_, planned := k.state.plan(sandbox.PodUID)
		_, present := k.Present.Get(sandbox.ID)
		return !planned && !present && sandbox.Selection == ""
	}
	k.depart(sandbox.ID)
	return true
}

func (s *state) addBystander(sandbox Sandbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bystanders[sandbox.ID] = sandbox
}

func (s *state) removeBystander(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.bystanders[id]
	delete(s.bystanders, id)
	return known
}

// involve makes bystanders for which there are orders sandboxes of ours.
func (s *state) involve(orders []*v1alpha1.PodNetworkAttachment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bystanders) == 0 {
		return
	}
	ordered := map[types.UID]bool{}
	for _, pna := range orders {
		ordered[pna.Spec.Pod.UID] = true
	}
	for id, sandbox := range s.bystanders {
		if ordered[sandbox.PodUID] {
			delete(s.bystanders, id)
			s.entries[id] = newEntry(sandbox, attached)
		}
	}
}
