package controllers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

var errLost = errors.New("the answer was lost")

func copyInto(dst, src client.Object) {
	reflect.ValueOf(dst).Elem().Set(reflect.ValueOf(src.DeepCopyObject()).Elem())
}

// shelf reads objects: those of the API server, or those that a cache has seen.
type shelf struct{ objects map[storedKey]client.Object }

func (s shelf) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	stored := s.objects[storedKey{fmt.Sprintf("%T", obj), key}]
	if stored == nil {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	copyInto(obj, stored)
	return nil
}

func (s shelf) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var o client.ListOptions
	o.ApplyOptions(opts)
	switch list := list.(type) {
	case *v1alpha1.NetworkList:
		for _, n := range sorted[*v1alpha1.Network](s.objects) {
			list.Items = append(list.Items, *n.DeepCopy())
		}
	case *v1alpha1.PodNetworkAttachmentList:
		for _, pna := range sorted[*v1alpha1.PodNetworkAttachment](s.objects) {
			if indexed(pna, o) {
				list.Items = append(list.Items, *pna.DeepCopy())
			}
		}
	case *v1alpha1.AddressClaimList:
		for _, claim := range sorted[*v1alpha1.AddressClaim](s.objects) {
			if indexedClaim(claim, o) {
				list.Items = append(list.Items, *claim.DeepCopy())
			}
		}
	case *corev1.NodeList:
		for _, node := range sorted[*corev1.Node](s.objects) {
			list.Items = append(list.Items, *node.DeepCopy())
		}
	case *resourcev1.ResourceSliceList:
		for _, slice := range sorted[*resourcev1.ResourceSlice](s.objects) {
			list.Items = append(list.Items, *slice.DeepCopy())
		}
	case *resourcev1.ResourceClaimTemplateList, *resourcev1.ResourceClaimList:
	default:
		return fmt.Errorf("the model has no lists of %T", list)
	}
	return nil
}

// indexed tells whether the attachment is what the options ask the cache's indexes for.
func indexed(pna *v1alpha1.PodNetworkAttachment, o client.ListOptions) bool {
	if o.FieldSelector == nil {
		return true
	}
	for _, r := range o.FieldSelector.Requirements() {
		keys := map[string][]string{
			indexPodUID: {string(pna.Spec.Pod.UID)}, indexNode: {pna.Spec.NodeName}, indexAddress: addressKeys(pna),
		}[r.Field]
		for _, key := range keys {
			if key == r.Value {
				return true
			}
		}
	}
	return false
}

func indexedClaim(claim *v1alpha1.AddressClaim, o client.ListOptions) bool {
	if o.FieldSelector == nil {
		return true
	}
	for _, r := range o.FieldSelector.Requirements() {
		if slices.Contains(claimIndexes[r.Field](claim), r.Value) {
			return true
		}
	}
	return false
}

// operatorClient reads a cache and writes to the API server, unless something happens to the request.
type operatorClient struct {
	client.Client
	shelf
	operator *operatorProcess
}

func (c operatorClient) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	return c.shelf.Get(ctx, key, obj, opts...)
}

func (c operatorClient) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	return c.shelf.List(ctx, list, opts...)
}

func (c operatorClient) Create(ctx context.Context, obj client.Object, _ ...client.CreateOption) error {
	switch obj := obj.(type) {
	case *v1alpha1.PodNetworkAttachment:
		c.operator.world.t.Logf("%s creates %s with %s", c.operator.identity, obj.Name, addressList(*obj))
		c.operator.checkKept(obj)
	case *v1alpha1.AddressClaim:
		c.operator.world.t.Logf("%s creates claim %s with %v", c.operator.identity, obj.Name, obj.Spec.Addresses)
	default:
		return nil // a ResourceClaimTemplate or a DeviceClass is nobody's concern here
	}
	return c.operator.send(ctx, func() error { return c.operator.world.store.create(obj) }, obj.DeepCopyObject().(client.Object))
}

func (c operatorClient) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	var o client.DeleteOptions
	o.ApplyOptions(opts)
	return c.operator.send(ctx, func() error { return c.operator.world.store.delete(obj, o.Preconditions) }, nil)
}

func (c operatorClient) Patch(ctx context.Context, obj client.Object, _ client.Patch, _ ...client.PatchOption) error {
	return c.operator.send(ctx, func() error { return c.operator.world.store.update(obj) }, nil)
}

func (c operatorClient) Status() client.SubResourceWriter { return statusClient{operator: c.operator} }

// statusClient writes the status of Networks and claims.
type statusClient struct {
	client.SubResourceWriter
	operator *operatorProcess
}

// Apply is for pods: nobody reads the operator's condition here.
func (statusClient) Apply(context.Context, runtime.ApplyConfiguration, ...client.SubResourceApplyOption) error {
	return nil
}

// Patch is for Networks and claims, with the resource version as precondition.
func (c statusClient) Patch(ctx context.Context, obj client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	s := &c.operator.world.store
	if c.operator.world.coin("pods are planned meanwhile") {
		c.operator.planPods()
	}
	return c.operator.send(ctx, func() error {
		err := s.update(obj)
		if err == nil {
			copyInto(obj, s.objects[keyFor(obj)])
		}
		return err
	}, nil)
}

// send does one write, or not, and answers, or not. A create may arrive later than its sender believes.
func (o *operatorProcess) send(ctx context.Context, write func() error, late client.Object) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.world.rarely("the process is stopped before it sends") {
		o.world.overtake(o)
		// With probes the clock of the deadline may have stood still as well.
		if err := ctx.Err(); err != nil && !o.world.probes {
			return err
		}
	}
	switch o.world.fate(late != nil) {
	case fateLost:
		return errLost
	case fateAnswerLost:
		_ = write()
		return errLost
	case fateLate:
		o.world.late = append(o.world.late, lateCreate{o.identity, late, len(o.world.store.history), time.Now()})
		return errLost
	case fateBusy:
		return apierrors.NewTooManyRequests("too many requests", 1)
	}
	err := write()
	if o.world.coin("its events come before the answer") {
		o.catchUp()
	}
	return err
}
