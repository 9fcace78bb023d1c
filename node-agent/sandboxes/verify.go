package sandboxes

import (
	"context"
	"fmt"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/publish"
)

// verifyLimit ends a verification that waits for the API server or for the kernel.
const verifyLimit = 30 * time.Second

// listLimit is how long a verification waits for the API server to tell of the attachments. An agent that starts is
// faster than its cache.
const listLimit = 5 * time.Second

// askAgainAfter is the age of an attachment that the kubelet must have asked for.
const askAgainAfter = 5 * time.Second

// verify makes sure that a sandbox has what it selects. It is how links come back that were lost, and how a
// sandbox that started while the agent was away is attached late.
func (k *Keeper) verify(e *entry) {
	k.verifying <- struct{}{}
	defer func() { <-k.verifying }()
	ctx, cancel := context.WithTimeout(k.base, verifyLimit)
	defer cancel()
	if err := e.acquire(ctx); err != nil {
		k.state.putOff(e)
		return
	}
	defer e.release()
	if _, p := k.state.entry(e.ID); p == stopped {
		return // while this waited
	}
	k.follow(ctx, e)
	k.verified(ctx, e)
	if k.ends(e.PodUID) {
		k.Wake() // what the sandbox has lost can be dropped now
	}
}

func (k *Keeper) verified(ctx context.Context, e *entry) {
	selections, err := k.state.selections(e)
	if err != nil {
		k.state.setPhase(e, broken)
		return
	}
	attachments, missing := k.state.planned(e.PodUID, selections)
	if len(missing) > 0 {
		k.listed(ctx)
		k.replanIn(ctx, e.Sandbox)
		attachments, missing = k.state.planned(e.PodUID, selections)
	}
	if len(missing) > 0 {
		k.broken(e, attachments, notPlannedError(missing[0]))
		return
	}
	checked := k.check(ctx, e, attachments)
	if checked == nil {
		k.intact(ctx, e, attachments)
		return
	}
	if k.listed(ctx); !k.ordered(e, attachments) {
		k.state.setPhase(e, broken) // it goes; nothing is given to it any more
		return
	}
	k.Log.Info("attaching again", "pod", e.Namespace+"/"+e.Name, "podUID", e.PodUID, "cause", checked.Error())
	k.repair(ctx, e, attachments)
}

// intact says so, at once: containers of the sandbox may wait for it. An earlier process may have ended between
// the attach and the report; then the attach, which changes nothing, reads back what there is to report.
func (k *Keeper) intact(ctx context.Context, e *entry, attachments []plan.Attachment) {
	k.state.setPhase(e, attached)
	if made := k.state.made(e); made != nil {
		k.publish(e, made)
		return
	}
	if k.listed(ctx); (!k.told(e, attachments) || k.state.wasChanged(e)) && k.ordered(e, attachments) {
		k.repair(ctx, e, attachments)
	}
}

// listed waits a little until the API server has told of the attachments.
func (k *Keeper) listed(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	k.Attachments.WaitListed(ctx)
}

// repair attaches what is missing.
func (k *Keeper) repair(ctx context.Context, e *entry, attachments []plan.Attachment) {
	waiting, cancel := context.WithTimeout(ctx, overlayLimit)
	defer cancel()
	if err := k.ensureOverlays(waiting, e.PodUID, attachments); err != nil {
		k.broken(e, attachments, err)
		return
	}
	if err := k.probed(waiting, e.PodUID, attachments); err != nil {
		k.broken(e, attachments, err)
		return
	}
	made, err := k.attach(ctx, e, attachments)
	if err != nil {
		if k.NamespaceLives(e.NetNS) {
			k.broken(e, attachments, err)
		} else {
			k.stopped(e)
		}
		return
	}
	k.state.setMade(e, made)
	if _, err := k.Files.Write(e.PodUID, made); err != nil {
		k.Log.Error(err, "networks.json", "pod", e.Namespace+"/"+e.Name)
	}
	k.tell(e, attachments, made)
}

func (k *Keeper) broken(e *entry, attachments []plan.Attachment, err error) {
	k.state.setPhase(e, broken)
	k.Publisher.Publish(failed(e.Sandbox, attachments, err))
}

// ordered tells whether every attachment is still ordered: a released address must not come back.
func (k *Keeper) ordered(e *entry, attachments []plan.Attachment) bool {
	lives := map[string]bool{}
	for _, pna := range k.Attachments.ForPod(e.PodUID) {
		lives[pna.Name] = pna.DeletionTimestamp == nil
	}
	for _, a := range attachments {
		if !lives[a.Name] {
			return false
		}
	}
	return true
}

// replan plans a pod anew whose plan is not in the ledger.
func (k *Keeper) replan(sandbox Sandbox) {
	ctx, cancel := context.WithTimeout(k.base, verifyLimit)
	defer cancel()
	k.replanIn(ctx, sandbox)
}

func (k *Keeper) replanIn(ctx context.Context, sandbox Sandbox) {
	for _, pna := range k.Attachments.ForPod(sandbox.PodUID) {
		if pna.DeletionTimestamp != nil {
			continue
		}
		if err := k.replanOne(ctx, pna); err != nil {
			k.Log.Error(err, "plan again", "pod", sandbox.Namespace+"/"+sandbox.Name, "podUID", sandbox.PodUID)
		}
	}
}

func (k *Keeper) replanOne(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) error {
	if pna.Spec.PodClaimName == "" {
		return k.planReady(ctx, pna, nil)
	}
	claim, err := k.Claims.ForPod(ctx, pna.Namespace, pna.Spec.Pod.Name, pna.Spec.Pod.UID, pna.Spec.PodClaimName, pna.Spec.Request)
	if err != nil {
		return fmt.Errorf("claim %s: %w", pna.Spec.PodClaimName, err)
	}
	return k.planReady(ctx, pna, claim)
}

// AskAgain has the kubelet prepare the pods again that it could not prepare because this agent was away. By itself it
// would try again after 60 to 90 s. It is called when the kubelet has registered the agent.
func (k *Keeper) AskAgain(now time.Time) {
	if !k.Attachments.Listed() {
		return
	}
	for _, pna := range k.Attachments.All() {
		pod := pna.Spec.Pod
		_, planned := k.state.plan(pod.UID)
		waits := pna.DeletionTimestamp == nil && !planned && !k.state.holding(pod.UID) &&
			pna.Spec.PodClaimName != "" && now.Sub(pna.CreationTimestamp.Time) > askAgainAfter
		if waits {
			r := publish.Report{Namespace: pna.Namespace, Name: pod.Name, UID: pod.UID}
			r.Trouble = "the node agent was away when the pod was to be prepared; the kubelet is asked to try again"
			k.Publisher.Publish(r)
		}
	}
}
