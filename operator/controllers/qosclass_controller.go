package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// +kubebuilder:rbac:groups=multinet.dev,resources=qosclasses,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=multinet.dev,resources=qosclasses/status,verbs=patch

const (
	// rollOutAtOnce is the number of attachments that are changed at one time.
	rollOutAtOnce = 16
	// rollOutAgain is how soon attachments are looked at again that had changed meanwhile; the cache shows it in a moment.
	rollOutAgain = 100 * time.Millisecond
)

// QoSClassReconciler brings changes of a QoSClass to the attachments that have it, and reports on that.
type QoSClassReconciler struct {
	client.Client
	Live  client.Reader
	Fence *Fence
}

// Reconcile looks at one class and all its attachments.
func (r *QoSClassReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var class v1alpha1.QoSClass
	if err := r.Get(ctx, req.NamespacedName, &class); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	facts, err := r.gather(ctx, &class)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("QoSClass %s: %w", class.Name, err)
	}
	if done, err := r.hold(ctx, facts); done || err != nil {
		return ctrl.Result{}, err
	}
	again, err := r.rollOut(ctx, facts)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("QoSClass %s: %w", class.Name, err)
	}
	stale, err := r.writeStatus(ctx, facts)
	if err != nil {
		return ctrl.Result{}, err
	}
	if again || stale {
		return ctrl.Result{RequeueAfter: rollOutAgain}, nil
	}
	return ctrl.Result{}, nil
}

// gather reads the cache. Attachments are shared with it: they must not be changed.
func (r *QoSClassReconciler) gather(ctx context.Context, class *v1alpha1.QoSClass) (decide.QoSClassFacts, error) {
	facts := decide.QoSClassFacts{Class: class, Now: metav1.Now()}
	var attachments v1alpha1.PodNetworkAttachmentList
	if err := r.List(ctx, &attachments, client.MatchingFields{indexClass: class.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return facts, fmt.Errorf("listing its attachments: %w", err)
	}
	for i := range attachments.Items {
		pna := &attachments.Items[i]
		booked, err := r.booked(ctx, pna)
		if err != nil {
			return facts, err
		}
		facts.Uses = append(facts.Uses, decide.ClassUse{Attachment: pna, Booked: booked})
	}
	var networks v1alpha1.NetworkList
	if err := r.List(ctx, &networks, client.UnsafeDisableDeepCopy); err != nil {
		return facts, fmt.Errorf("listing Networks: %w", err)
	}
	for i := range networks.Items {
		if networks.Items[i].Spec.QoSClassName == class.Name {
			facts.Networks = append(facts.Networks, networks.Items[i].Name)
		}
	}
	return facts, nil
}

// booked is nil where the cache has no claim of the attachment.
func (r *QoSClassReconciler) booked(ctx context.Context, pna *v1alpha1.PodNetworkAttachment) (*decide.Rates, error) {
	var claims resourcev1.ResourceClaimList
	key := podEntryKey(pna.Spec.Pod.UID, pna.Spec.PodClaimName)
	err := r.List(ctx, &claims, client.InNamespace(pna.Namespace), client.MatchingFields{indexPodEntry: key}, client.UnsafeDisableDeepCopy)
	if err != nil || len(claims.Items) == 0 {
		return nil, err
	}
	booked := decide.BookedBy(&claims.Items[0], pna.Spec.Request)
	return &booked, nil
}

// hold adds the finalizer that keeps a class while something uses it, and takes it away when nothing does. The API server is
// asked then, since the cache may lag behind an attachment that was just made.
func (r *QoSClassReconciler) hold(ctx context.Context, facts decide.QoSClassFacts) (done bool, err error) {
	class := facts.Class
	before, changed := class.DeepCopy(), false
	if class.DeletionTimestamp.IsZero() {
		changed = controllerutil.AddFinalizer(class, v1alpha1.FinalizerInUse)
	} else if facts.Unused() {
		var attachments v1alpha1.PodNetworkAttachmentList
		if err := r.Live.List(ctx, &attachments); err != nil {
			return false, fmt.Errorf("QoSClass %s: looking for attachments: %w", class.Name, err)
		}
		for i := range attachments.Items {
			if qos := attachments.Items[i].Spec.QoS; qos != nil && qos.ClassName == class.Name {
				return false, nil // The cache will show it, which brings us back.
			}
		}
		changed = controllerutil.RemoveFinalizer(class, v1alpha1.FinalizerInUse)
		done = true
	}
	if !changed {
		return done, nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Patch(ctx, class, patch); client.IgnoreNotFound(err) != nil {
		return done, fmt.Errorf("QoSClass %s: its finalizer: %w", class.Name, err)
	}
	return done, nil
}

// rollOut changes the attachments that differ, several at once. again tells that some had changed since they were read.
func (r *QoSClassReconciler) rollOut(ctx context.Context, facts decide.QoSClassFacts) (again bool, _ error) {
	stale := make([]bool, len(facts.Uses))
	var group errgroup.Group
	group.SetLimit(rollOutAtOnce)
	changed := 0
	for i, use := range facts.Uses {
		wanted := decide.RollOut(facts.Class, use)
		if wanted == nil {
			continue
		}
		changed++
		group.Go(func() (err error) {
			stale[i], err = r.change(ctx, use.Attachment, wanted)
			return err
		})
	}
	err := group.Wait()
	if changed > 0 && err == nil {
		ctrl.LoggerFrom(ctx).Info("class rolled out", "class", facts.Class.Name, "generation", facts.Class.Generation, "attachments", changed)
	}
	for _, s := range stale {
		again = again || s
	}
	return again, err
}

// change writes one attachment's spec.qos if its spec is still the one that was read; its status may have changed.
func (r *QoSClassReconciler) change(ctx context.Context, pna *v1alpha1.PodNetworkAttachment, wanted *v1alpha1.ResolvedQoS) (stale bool, _ error) {
	patch, err := json.Marshal([]map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": pna.UID},
		{"op": "test", "path": "/metadata/generation", "value": pna.Generation},
		{"op": "replace", "path": "/spec/qos", "value": wanted},
	})
	if err != nil {
		return false, err
	}
	guarded, cancel, err := r.Fence.Guard(ctx)
	if err != nil {
		return false, err
	}
	defer cancel()
	target := &v1alpha1.PodNetworkAttachment{ObjectMeta: metav1.ObjectMeta{Namespace: pna.Namespace, Name: pna.Name}}
	err = r.Patch(guarded, target, client.RawPatch(types.JSONPatchType, patch))
	switch {
	case testFailed(err):
		return true, nil
	case client.IgnoreNotFound(err) != nil:
		return false, fmt.Errorf("attachment %s: changing spec.qos: %w", client.ObjectKeyFromObject(pna), err)
	}
	return false, nil
}

// testFailed tells the answer to a JSON patch whose test fails from that to an object that is invalid: it names no field.
func testFailed(err error) bool {
	var status apierrors.APIStatus
	return apierrors.IsInvalid(err) && errors.As(err, &status) && (status.Status().Details == nil || len(status.Status().Details.Causes) == 0)
}

// writeStatus writes against what was read: beside a cache that does not show our last write yet, a patch of what changed would
// leave the rest as that write had it, and nothing would bring us back.
func (r *QoSClassReconciler) writeStatus(ctx context.Context, facts decide.QoSClassFacts) (stale bool, _ error) {
	status := decide.QoSClassStatus(facts)
	if equality.Semantic.DeepEqual(status, facts.Class.Status) {
		return false, nil
	}
	before := facts.Class.DeepCopy()
	facts.Class.Status = status
	err := r.Status().Patch(ctx, facts.Class, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	switch {
	case apierrors.IsConflict(err):
		return true, nil
	case client.IgnoreNotFound(err) != nil:
		return false, fmt.Errorf("QoSClass %s: status: %w", facts.Class.Name, err)
	}
	return false, nil
}
