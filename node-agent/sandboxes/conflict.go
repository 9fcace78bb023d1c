package sandboxes

import (
	"fmt"
	"strings"
	"time"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// replacedWithin is how long a new order is expected in the place of one whose address another machine has. The operator
// makes it within a second unless it is away or has no address; after this time the hook plans it, a try later.
const replacedWithin = time.Hour

// duplicateError is an address that another machine answers for.
type duplicateError struct {
	Attachment plan.Attachment
	Conflicts  []plan.Conflict
}

func (e *duplicateError) Error() string {
	return fmt.Sprintf("network %q interface %s: probe the addresses: %s", e.Attachment.Network, e.Attachment.Interface,
		conflictText(e.Attachment, e.Conflicts))
}

// conflictText names the addresses that other machines have, and those machines. It is empty where there are none.
func conflictText(a plan.Attachment, conflicts []plan.Conflict) string {
	segment := "uplink " + a.Device.Uplink
	if vlan, ok := a.VLAN(); ok {
		segment = fmt.Sprintf("VLAN %d on uplink %s", vlan.ID, vlan.Uplink)
	}
	texts := make([]string, 0, len(conflicts))
	for _, c := range conflicts {
		texts = append(texts, fmt.Sprintf("address %s is used by %s on the segment of %s", c.Addr, c.MAC, segment))
	}
	return strings.Join(texts, "; ")
}

// contested is a plan that was dropped because its order went while another machine had its address.
type contested struct {
	claim *plan.Claim
	until time.Time
}

// expectReplacement remembers a plan that is dropped, if its order says that another machine has an address of it. The
// order is still there: its finalizer goes after the plan.
func (k *Keeper) expectReplacement(p planned, dropped plan.Attachment, now time.Time) {
	for _, pna := range k.Attachments.ForPod(p.PodUID) {
		if pna.Name == p.Name && len(pna.Status.Conflicts) > 0 {
			k.contested[p] = contested{claim: dropped.Claim, until: now.Add(replacedWithin)}
		}
	}
}

// planReplacements plans the orders that came in the place of contested ones: Prepare does not come again, and a hook
// that found no plan would cost the pod another try. The claim is that of the old plan, which the pod keeps.
func (k *Keeper) planReplacements(now time.Time) {
	for p, was := range k.contested {
		if now.After(was.until) {
			delete(k.contested, p)
			continue
		}
		for _, pna := range k.Attachments.ForPod(p.PodUID) {
			if pna.Name != p.Name || pna.DeletionTimestamp != nil {
				continue
			}
			delete(k.contested, p)
			if _, err := k.planFor(pna, was.claim); err != nil {
				k.Log.Error(err, "plan the replacement", "pod", pna.Namespace+"/"+pna.Spec.Pod.Name, "podUID", p.PodUID)
			}
		}
	}
}

// going tells whether one of the attachments is being taken back, so that nothing may begin to use its addresses. What
// the API server has not told of does not count: a pod starts without it.
func (k *Keeper) going(e *entry, attachments []plan.Attachment) error {
	deleted := map[string]bool{}
	for _, pna := range k.Attachments.ForPod(e.PodUID) {
		deleted[pna.Name] = pna.DeletionTimestamp != nil
	}
	for _, a := range attachments {
		if deleted[a.Name] {
			return fmt.Errorf("network %q interface %s: its PodNetworkAttachment is being deleted or replaced", a.Network, a.Interface)
		}
	}
	return nil
}
