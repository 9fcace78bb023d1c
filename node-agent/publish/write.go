package publish

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// +kubebuilder:rbac:groups="",resources=pods/status,verbs=patch
// +kubebuilder:rbac:groups=multinet.dev,resources=podnetworkattachments,verbs=patch
// +kubebuilder:rbac:groups=multinet.dev,resources=podnetworkattachments/status,verbs=patch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims/status,verbs=patch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaims/driver,resourceNames=multinet.dev,verbs="associated-node:patch"

// FieldManager owns the fields that the node agent applies.
const FieldManager = "multinet-agent"

// writeLimit ends a request that the API server does not answer.
const writeLimit = 15 * time.Second

// target is an object, or its status, that is patched.
type target struct {
	resource, namespace, name string
	status                    bool
}

func (t target) String() string {
	s := t.resource + " " + t.namespace + "/" + t.name
	if t.status {
		s += " status"
	}
	return s
}

type writer interface {
	// patch answers nil where the object is gone or is another one of the same name: nobody is left to be told.
	patch(ctx context.Context, t target, kind types.PatchType, body []byte) error
}

// Clients reach the three API groups that the agent writes to.
type Clients struct {
	Core      rest.Interface
	Resources rest.Interface
	Multinet  rest.Interface
}

func (c Clients) patch(ctx context.Context, t target, kind types.PatchType, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, writeLimit)
	defer cancel()
	request := c.client(t.resource).Patch(kind).Namespace(t.namespace).Resource(t.resource).Name(t.name).
		Param("fieldManager", FieldManager).Body(body)
	if t.status {
		request = request.SubResource("status")
	}
	if kind == types.ApplyPatchType {
		request = request.Param("force", "true")
	}
	// The answer is not decoded: nothing in it is of use, and it is most of the memory of a write.
	return request.Do(ctx).Error()
}

func (c Clients) client(resource string) rest.Interface {
	switch resource {
	case "pods":
		return c.Core
	case "resourceclaims":
		return c.Resources
	}
	return c.Multinet
}

// apply writes a body unless the API server has just that already.
func (p *Publisher) apply(ctx context.Context, podUID types.UID, t target, object map[string]any) error {
	body, err := json.Marshal(object)
	if err != nil {
		return fmt.Errorf("encode %s: %w", t, err)
	}
	if p.wasWritten(podUID, t.String(), string(body)) {
		return nil
	}
	if err := p.writer.patch(ctx, t, types.ApplyPatchType, body); err != nil && !gone(err) {
		return fmt.Errorf("apply %s: %w", t, err)
	}
	p.setWritten(podUID, t.String(), string(body))
	return nil
}

// gone tells whether the object of that name and UID does not exist any more. An apply is forced, so that a
// conflict can only be that of the UID.
func gone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// release takes the finalizer off the attachment as the cache has it. The resourceVersion in the patch refuses
// it where another finalizer came or went meanwhile; then the cache will have changed at the next try.
func (p *Publisher) release(ctx context.Context, k key) error {
	pna, ok := p.attachments.Get(k.namespace, k.name)
	if !ok || pna.UID != k.uid || !slices.Contains(pna.Finalizers, v1alpha1.FinalizerRelease) {
		return nil
	}
	rest := slices.DeleteFunc(slices.Clone(pna.Finalizers), func(f string) bool { return f == v1alpha1.FinalizerRelease })
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": pna.UID, "resourceVersion": pna.ResourceVersion, "finalizers": rest,
	}})
	if err != nil {
		return fmt.Errorf("encode the release of %s/%s: %w", k.namespace, k.name, err)
	}
	t := target{resource: "podnetworkattachments", namespace: k.namespace, name: k.name}
	if err := p.writer.patch(ctx, t, types.MergePatchType, body); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("release %s: %w", t, err)
	}
	return nil
}

func metadata(namespace, name string, uid types.UID) map[string]any {
	return map[string]any{"namespace": namespace, "name": name, "uid": uid}
}

// condition returns a condition whose transition time is that of the state's begin.
func (p *Publisher) condition(podUID types.UID, owner, kind, status, reason, message string) map[string]any {
	at := p.lasting(podUID, owner+"/"+kind, status, time.Now())
	return map[string]any{"type": kind, "status": status, "reason": reason, "message": message,
		"lastTransitionTime": metav1.NewTime(at)}
}
