package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const macvlanConfig = `{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "range": "10.20.0.0/24"}}`

// definition creates one, which goes before the manager does.
func (w *world) definition(name, config string) *netattach.NetworkAttachmentDefinition {
	w.t.Helper()
	d := &netattach.NetworkAttachmentDefinition{Spec: netattach.NetworkAttachmentDefinitionSpec{Config: config}}
	d.Namespace, d.Name = w.namespace, name
	w.must(w.Create(w.ctx, d))
	w.t.Cleanup(func() { _ = w.Delete(context.Background(), d) })
	return d
}

// adopt sets or removes the label of the test's namespace.
func (w *world) adopt(value string) {
	w.t.Helper()
	w.label(netattach.LabelDefinitions, value)
}

func (w *world) label(key, value string) {
	w.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	before := ns.DeepCopy()
	ns.Labels = map[string]string{key: value}
	w.must(w.Patch(w.ctx, ns, client.MergeFrom(before)))
}

func (w *world) configure(d *netattach.NetworkAttachmentDefinition, config string) {
	w.t.Helper()
	before := d.DeepCopyObject().(client.Object)
	d.Spec.Config = config
	w.must(w.Patch(w.ctx, d, client.MergeFrom(before)))
}

// derived waits until the Network of a definition passes the check.
func (w *world) derived(d *netattach.NetworkAttachmentDefinition, what string, check func(*v1alpha1.Network) bool) v1alpha1.Network {
	w.t.Helper()
	var n v1alpha1.Network
	w.eventually("the Network of "+d.Name+": "+what, func() error {
		if err := w.Get(w.ctx, types.NamespacedName{Name: netattach.NetworkName(d.Namespace, d.Name)}, &n); err != nil {
			return err
		}
		if !check(&n) {
			return fmt.Errorf("it is %+v", n.Spec)
		}
		return nil
	})
	return n
}

// underived waits until a definition has no Network.
func (w *world) underived(d *netattach.NetworkAttachmentDefinition) {
	w.t.Helper()
	w.eventually("no Network of "+d.Name, func() error {
		err := w.Get(w.ctx, types.NamespacedName{Name: netattach.NetworkName(d.Namespace, d.Name)}, &v1alpha1.Network{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("it is there"))
	})
}

// told waits for an event on a definition.
func (w *world) told(d *netattach.NetworkAttachmentDefinition, reason, text string) {
	w.t.Helper()
	w.eventually("event "+reason+" on "+d.Name, func() error {
		var list eventsv1.EventList
		if err := w.List(w.ctx, &list, client.InNamespace(d.Namespace)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Name == d.Name && e.Reason == reason && strings.Contains(e.Note, text) {
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(list.Items))
	})
}

func whole(n *v1alpha1.Network) bool { return len(n.Finalizers) == 1 }

func TestNetworkOfADefinition(t *testing.T) {
	w := newWorld(t)
	w.adopt("native")
	stop := w.startManager()
	d := w.definition("lan", macvlanConfig)
	first := w.derived(d, "made", whole)
	if first.Annotations[netattach.AnnotationOrigin] != w.namespace+"/lan" || first.Spec.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] != w.namespace {
		t.Errorf("annotations %v, selector %v", first.Annotations, first.Spec.NamespaceSelector)
	}
	w.configure(d, strings.Replace(macvlanConfig, `/24"`, `/24", "exclude": ["10.20.0.0/28"]`, 1))
	w.derived(d, "changed", func(n *v1alpha1.Network) bool { return len(n.Spec.IPAM.Ranges[0].Exclude) == 1 && n.UID == first.UID })

	pod := w.pod("p", first.Name, "node1")
	if got := w.attached(pod, 1)["net1"].Spec.NetworkName; got != first.Name {
		t.Errorf("the pod is on %q", got)
	}
	w.must(w.Delete(w.ctx, pod, client.GracePeriodSeconds(0)))
	for _, pna := range w.attachments(pod) {
		w.release(pna)
	}

	// A Network that somebody deletes comes back, as long as the definition is there.
	w.must(w.Delete(w.ctx, &first))
	w.derived(d, "made again", func(n *v1alpha1.Network) bool { return n.UID != first.UID && whole(n) })

	// What it says now needs a plugin, which the namespace is not allowed, and then is.
	w.configure(d, `{"type": "bridge"}`)
	w.told(d, v1alpha1.ReasonDefinitionDelegated, `spec.config line 1, column 10: type: plugin "bridge"`)
	w.underived(d)
	w.label(netattach.LabelPlugins, netattach.LabelPluginsAllowed)
	byPlugins := w.derived(d, "by plugins", whole)
	if byPlugins.Spec.Type != v1alpha1.NetworkTypeCNI || byPlugins.Spec.CNI.Config != `{"name":"lan","type": "bridge"}` {
		t.Errorf("%+v", byPlugins.Spec)
	}
	w.networkIs(byPlugins.Name, v1alpha1.NetworkConditionReady, metav1.ConditionFalse, v1alpha1.ReasonNoUplink)
	w.label(netattach.LabelPlugins, "no")
	w.underived(d)
	w.configure(d, macvlanConfig)
	w.derived(d, "native again", whole)

	// A definition that goes while no operator runs takes its Network along later.
	stop()
	w.must(w.Delete(w.ctx, d))
	w.startManager()
	w.underived(d)
}

func TestNetworkOfADefinitionSettles(t *testing.T) {
	w := newWorld(t)
	w.adopt("native")
	w.startManager()
	d := w.definition("lan", macvlanConfig)
	settled := w.networkIs(netattach.NetworkName(d.Namespace, d.Name), v1alpha1.NetworkConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonValid)
	// The same again, said in other words: what the API server filled in is no difference.
	w.configure(d, macvlanConfig+"\n")
	other := w.definition("other", strings.Replace(macvlanConfig, "10.20.", "10.21.", 1))
	w.derived(other, "made after", whole)
	if now := w.derived(d, "there", whole); now.Generation != settled.Generation {
		t.Errorf("generation %d, was %d: %+v", now.Generation, settled.Generation, now.Spec)
	}
}

// TestNamespaceDecides: a right to write definitions is none to the NICs of the cluster.
func TestNamespaceDecides(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	elsewhere := w.definition("lan", macvlanConfig)
	// The one of another namespace was made later and is there, so the first would be.
	var other netattach.NetworkAttachmentDefinition
	other.Namespace, other.Name, other.Spec.Config = w.makeNamespace(map[string]string{netattach.LabelDefinitions: "native"}), "lan", macvlanConfig
	w.must(w.Create(w.ctx, &other))
	t.Cleanup(func() { _ = w.Delete(context.Background(), &other) })
	w.derived(&other, "made", whole)
	w.underived(elsewhere)
	w.adopt("native")
	w.derived(elsewhere, "made once the namespace has the label", whole)
	w.adopt("no")
	w.underived(elsewhere)
}

func TestDefinitionsThatGetNoNetwork(t *testing.T) {
	w := newWorld(t)
	w.adopt("native")
	w.startManager()
	refused := w.definition("refused", "{")
	w.told(refused, v1alpha1.ReasonDefinitionRefused, "spec.config line 1, column 2: spec.config is not JSON")
	w.underived(refused)

	taken := w.network(netattach.NetworkName(w.namespace, "taken"), ranges("10.9.0.0/24"))
	d := w.definition("taken", macvlanConfig)
	w.told(d, v1alpha1.ReasonDefinitionNameTaken, "is somebody else's")
	if n := w.derived(d, "as it was", whole); n.UID != taken.UID || n.Spec.IPAM.Ranges[0].CIDR != "10.9.0.0/24" {
		t.Errorf("the Network became %+v", n.Spec)
	}

	fixed := w.definition("fixed", macvlanConfig)
	w.derived(fixed, "made", whole)
	w.configure(fixed, strings.Replace(macvlanConfig, `"eth1"`, `"eth1", "mode": "vepa"`, 1))
	w.told(fixed, v1alpha1.ReasonDefinitionUnchangeable, "spec.macvlan.mode is immutable")
	w.derived(fixed, "as it was", func(n *v1alpha1.Network) bool { return n.Spec.Macvlan.Mode == v1alpha1.MacvlanModeBridge })
}

// TestPodIsToldWhyADefinitionIsNoNetwork: at each step it hears of what is in the way then, and of other namespaces nothing.
func TestPodIsToldWhyADefinitionIsNoNetwork(t *testing.T) {
	w := newWorld(t)
	w.startManager()
	pod := w.pod("p", netattach.NetworkName(w.namespace, "lan"), "node1")
	told := func(text string) {
		t.Helper()
		w.eventually("the pod to be told "+text, func() error {
			if c := w.planned(pod, corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork); !strings.Contains(c.Message, text) {
				return errors.New(c.Message)
			}
			return nil
		})
	}
	lan := "NetworkAttachmentDefinition " + w.namespace + "/lan"
	told("no Network stands for " + lan + ": its namespace lacks the label multinet.dev/netattachdefs=native")
	w.adopt("native")
	told(lan + " does not exist; create it or correct the annotation k8s.v1.cni.cncf.io/networks")
	d := w.definition("lan", `{"type": "macvlan", "master": "eth1", "mode": "bogus"}`)
	told(`no Network stands for ` + lan + `: spec.config line 1, column 47: mode: "bogus" is not a macvlan mode`)
	w.configure(d, `{"type": "bridge"}`)
	told(`no Network stands for ` + lan + `: the CNI plugins bridge have to do this, as root on nodes, for which the namespace needs the label multinet.dev/cni-plugins=allowed`)
	w.configure(d, macvlanConfig)
	w.attached(pod, 1)

	var other netattach.NetworkAttachmentDefinition
	other.Namespace, other.Name, other.Spec.Config = w.makeNamespace(map[string]string{netattach.LabelDefinitions: "native"}), "secret", `{"type": "bogus"}`
	w.must(w.Create(w.ctx, &other))
	t.Cleanup(func() { _ = w.Delete(context.Background(), &other) })
	w.told(&other, v1alpha1.ReasonDefinitionDelegated, "bogus")
	c := w.planned(w.pod("q", netattach.NetworkName(other.Namespace, "secret"), "node1"), corev1.ConditionFalse, v1alpha1.ReasonUnknownNetwork)
	if strings.Contains(c.Message, "bogus") {
		t.Errorf("another namespace's definition is told: %s", c.Message)
	}
}
