package controllers

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// Indexes of PodNetworkAttachments in the cache.
const (
	indexPodUID  = "podUID"
	indexNode    = "node"
	indexAddress = "networkAddress"
	indexClass   = "qosClass"
)

// indexPodEntry of ResourceClaims in the cache: the pod's UID and the entry in its spec.resourceClaims that the claim was made for.
const indexPodEntry = "podEntry"

// Indexes of AddressClaims in the cache.
const (
	indexClaimPod     = "claimPod"
	indexClaimNetwork = "claimNetwork"
)

// CacheOptions keep in memory only what the reconcilers read: in a large cluster most of what pods, nodes and
// slices hold is none of our business.
func CacheOptions() cache.Options {
	ours := labels.NewSelector()
	if r, err := labels.NewRequirement(decide.LabelNetwork, "exists", nil); err == nil {
		ours = ours.Add(*r)
	}
	return cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:                       {Transform: stripped(stripPod)},
			&corev1.Node{}:                      {Transform: stripped(stripNode)},
			&corev1.Namespace{}:                 {Transform: stripped(stripNamespace)},
			&v1alpha1.PodNetworkAttachment{}:    {Transform: stripped(stripAttachment)},
			&resourcev1.ResourceSlice{}:         {Field: fields.OneTermEqualSelector("spec.driver", v1alpha1.DriverName)},
			&resourcev1.ResourceClaim{}:         {Transform: stripped(stripClaim)},
			&resourcev1.DeviceClass{}:           {Label: ours},
			&resourcev1.ResourceClaimTemplate{}: {Label: ours},
		},
	}
}

func stripped[T any](strip func(T)) func(any) (any, error) {
	return func(obj any) (any, error) {
		if typed, ok := obj.(T); ok {
			strip(typed)
		}
		return obj, nil
	}
}

// identity is what a cache needs of any object.
func identity(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

// stripPod leaves nothing but the identity of pods that select no network.
func stripPod(pod *corev1.Pod) {
	kept := corev1.Pod{ObjectMeta: identity(pod.ObjectMeta)}
	if decide.Selects(pod) {
		kept.CreationTimestamp, kept.DeletionTimestamp, kept.Finalizers = pod.CreationTimestamp, pod.DeletionTimestamp, pod.Finalizers
		kept.Annotations = map[string]string{}
		for _, key := range []string{v1alpha1.AnnotationNetworks, v1alpha1.AnnotationAtCreation, corev1.MirrorPodAnnotationKey} {
			if value, ok := pod.Annotations[key]; ok {
				kept.Annotations[key] = value
			}
		}
		// Its comma form says nothing that ours does not.
		if value := pod.Annotations[npwg.AnnotationNetworks]; npwg.IsJSON(value) {
			kept.Annotations[npwg.AnnotationNetworks] = value
		}
		kept.Spec = corev1.PodSpec{
			NodeName: pod.Spec.NodeName, HostNetwork: pod.Spec.HostNetwork, OS: pod.Spec.OS, ResourceClaims: pod.Spec.ResourceClaims,
			NodeSelector: pod.Spec.NodeSelector, Affinity: nodeAffinity(pod), Tolerations: pod.Spec.Tolerations,
			InitContainers: withDevices(pod.Spec.InitContainers), Containers: withDevices(pod.Spec.Containers),
		}
		kept.Status.Phase, kept.Status.ResourceClaimStatuses = pod.Status.Phase, pod.Status.ResourceClaimStatuses
		for _, c := range pod.Status.Conditions {
			if c.Type == v1alpha1.PodConditionPlanned || c.Type == corev1.PodScheduled {
				kept.Status.Conditions = append(kept.Status.Conditions, c)
			}
		}
	}
	*pod = kept
}

// withDevices are the containers that request devices of device plugins, whose resources have a domain, and what they request of them.
func withDevices(containers []corev1.Container) (kept []corev1.Container) {
	for _, c := range containers {
		limits := corev1.ResourceList{}
		for name, quantity := range c.Resources.Limits {
			if strings.Contains(string(name), "/") {
				limits[name] = quantity
			}
		}
		if len(limits) > 0 {
			kept = append(kept, corev1.Container{RestartPolicy: c.RestartPolicy, Resources: corev1.ResourceRequirements{Limits: limits}})
		}
	}
	return kept
}

// nodeAffinity is what is required of nodes.
func nodeAffinity(pod *corev1.Pod) *corev1.Affinity {
	if pod.Spec.Affinity == nil || pod.Spec.Affinity.NodeAffinity == nil {
		return nil
	}
	return &corev1.Affinity{NodeAffinity: pod.Spec.Affinity.NodeAffinity}
}

// stripNode leaves what racks are made of: labels and addresses.
func stripNode(node *corev1.Node) {
	kept := corev1.Node{ObjectMeta: identity(node.ObjectMeta), Spec: corev1.NodeSpec{Taints: node.Spec.Taints}}
	kept.Labels = node.Labels
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			kept.Status.Addresses = append(kept.Status.Addresses, a)
		}
	}
	*node = kept
}

func stripNamespace(ns *corev1.Namespace) {
	kept := identity(ns.ObjectMeta)
	kept.Labels = ns.Labels
	*ns = corev1.Namespace{ObjectMeta: kept}
}

func stripAttachment(pna *v1alpha1.PodNetworkAttachment) {
	pna.ManagedFields = nil
	pna.Status = v1alpha1.PodNetworkAttachmentStatus{Conditions: pna.Status.Conditions, Conflicts: pna.Status.Conflicts}
}

// stripClaim leaves what tells whose bandwidth is set aside where.
func stripClaim(claim *resourcev1.ResourceClaim) {
	kept := resourcev1.ResourceClaim{ObjectMeta: identity(claim.ObjectMeta)}
	if devices := decide.OurDevices(claim); len(devices) > 0 {
		kept.OwnerReferences = claim.OwnerReferences
		kept.Annotations = map[string]string{resourcev1.PodResourceClaimAnnotation: claim.Annotations[resourcev1.PodResourceClaimAnnotation]}
		kept.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{Results: devices}}
	}
	*claim = kept
}

func addIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	indexes := map[string]func(*v1alpha1.PodNetworkAttachment) []string{
		indexPodUID:  func(p *v1alpha1.PodNetworkAttachment) []string { return []string{string(p.Spec.Pod.UID)} },
		indexNode:    func(p *v1alpha1.PodNetworkAttachment) []string { return []string{p.Spec.NodeName} },
		indexAddress: addressKeys,
		indexClass:   classKeys,
	}
	for name, keys := range indexes {
		extract := func(obj client.Object) []string { return keys(obj.(*v1alpha1.PodNetworkAttachment)) }
		if err := indexer.IndexField(ctx, &v1alpha1.PodNetworkAttachment{}, name, extract); err != nil {
			return err
		}
	}
	podEntry := func(obj client.Object) []string { return podEntryKeys(obj.(*resourcev1.ResourceClaim)) }
	if err := indexer.IndexField(ctx, &resourcev1.ResourceClaim{}, indexPodEntry, podEntry); err != nil {
		return err
	}
	for name, keys := range claimIndexes {
		extract := func(obj client.Object) []string { return keys(obj.(*v1alpha1.AddressClaim)) }
		if err := indexer.IndexField(ctx, &v1alpha1.AddressClaim{}, name, extract); err != nil {
			return err
		}
	}
	return nil
}

var claimIndexes = map[string]func(*v1alpha1.AddressClaim) []string{
	indexClaimPod:     func(c *v1alpha1.AddressClaim) []string { return []string{c.Namespace + "/" + c.Spec.PodName} },
	indexClaimNetwork: func(c *v1alpha1.AddressClaim) []string { return []string{c.Spec.NetworkName} },
}

// addressKeys of an attachment are unique within the cluster unless two attachments share an address.
func addressKeys(pna *v1alpha1.PodNetworkAttachment) []string {
	var keys []string
	for _, a := range decide.Addresses(pna) {
		keys = append(keys, pna.Spec.NetworkName+"/"+a.String())
	}
	return keys
}

func classKeys(pna *v1alpha1.PodNetworkAttachment) []string {
	if pna.Spec.QoS == nil {
		return nil
	}
	return []string{pna.Spec.QoS.ClassName}
}

// podEntryKeys are empty for claims that no pod controls.
func podEntryKeys(claim *resourcev1.ResourceClaim) []string {
	pod, entry := metav1.GetControllerOf(claim), claim.Annotations[resourcev1.PodResourceClaimAnnotation]
	if pod == nil || entry == "" {
		return nil
	}
	return []string{podEntryKey(pod.UID, entry)}
}

func podEntryKey(pod types.UID, entry string) string { return string(pod) + "/" + entry }

// keyOf undoes NamespacedName.String.
func keyOf(s string) types.NamespacedName {
	namespace, name, _ := strings.Cut(s, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}
