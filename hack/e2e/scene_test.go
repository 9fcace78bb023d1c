//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// scene is what one test works with: a namespace of its own, and the nodes that it may hurt.
type scene struct {
	*cluster.Cluster
	t         *testing.T
	ctx       context.Context
	namespace string
	nodes     []string
}

// newScene makes the namespace. When the test is over, it is removed with all in it, and the nodes must be clean.
func newScene(t *testing.T, nodes ...string) *scene {
	t.Helper()
	// One test that hangs must not eat the time of the others.
	ctx, cancel := context.WithTimeout(context.Background(), 25*time.Minute)
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	s := &scene{Cluster: multi, t: t, ctx: ctx, namespace: fmt.Sprintf("%.40s-%d", name, os.Getpid()), nodes: nodes}
	t.Cleanup(func() {
		defer cancel()
		s.finish()
	})
	s.must(s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	s.until(time.Minute, "the default ServiceAccount", func(ctx context.Context) error {
		return s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: "default"}, &corev1.ServiceAccount{})
	})
	return s
}

// finish leaves the cluster as it was, and says what is not.
func (s *scene) finish() {
	if s.t.Failed() {
		s.dump()
	}
	if err := s.DeleteAllOf(s.ctx, &corev1.Pod{}, client.InNamespace(s.namespace)); err != nil {
		s.t.Errorf("deleting the test's pods: %v", err)
	}
	s.assertClean()
	if err := s.Delete(s.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}); err != nil {
		s.t.Errorf("deleting the test's namespace: %v", err)
	}
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) until(limit time.Duration, what string, condition func(context.Context) error) {
	s.t.Helper()
	start, last := time.Now(), error(nil)
	s.must(cluster.Until(s.ctx, limit, what, func(ctx context.Context) error {
		err := condition(ctx)
		if err != nil {
			last = err
		}
		return err
	}))
	if took := time.Since(start); took > 5*time.Second {
		s.t.Logf("%.1fs until %s; at the end it was: %.300v", took.Seconds(), what, last)
	}
}

// dump writes what a person needs to understand a failure.
func (s *scene) dump() {
	for _, args := range [][]string{
		{"get", "pods,podnetworkattachments,resourceclaims", "-o", "wide", "-n", s.namespace},
		{"get", "networks.multinet.dev", "-o", "wide"},
		{"get", "events", "-n", s.namespace, "--sort-by=.lastTimestamp"},
		{"logs", "-n", cluster.Namespace, "deployment/multinet-operator", "--tail=40"},
		{"logs", "-n", cluster.Namespace, "-l", "app.kubernetes.io/name=multinet-agent", "--tail=40", "--prefix"},
	} {
		out, err := s.Kubectl(s.ctx, nil, args...)
		s.t.Logf("kubectl %s (%v):\n%s", strings.Join(args, " "), err, out)
	}
}

// subnets counts the subnets that tests have taken; every Network of the suite lies on eth1 or on nothing.
var subnets atomic.Int32

// networkSpec is a dual stack macvlan on an uplink, in subnets that no other test uses.
func networkSpec(uplink string) v1alpha1.NetworkSpec {
	n := subnets.Add(1)
	return v1alpha1.NetworkSpec{
		Type:    v1alpha1.NetworkTypeMacvlan,
		Macvlan: &v1alpha1.MacvlanSpec{Uplink: v1alpha1.UplinkSelector{Names: []v1alpha1.InterfaceName{v1alpha1.InterfaceName(uplink)}}, Mode: v1alpha1.MacvlanModeBridge},
		IPAM: &v1alpha1.IPAMSpec{Ranges: []v1alpha1.IPRange{
			{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 60, byte(n), 0}), 24).String()},
			{CIDR: fmt.Sprintf("fd00:60:%x::/64", n)},
		}},
	}
}

// network creates a Network, named after the test. It is removed after the pods: cleanups run backwards, and finish
// was registered first, so this one only asks for the deletion, which waits for the attachments.
func (s *scene) network(name string, spec v1alpha1.NetworkSpec) *v1alpha1.Network {
	s.t.Helper()
	network := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	s.clearNetwork(name)
	s.must(s.Create(s.ctx, network))
	s.t.Cleanup(func() {
		if err := s.Delete(s.ctx, network); client.IgnoreNotFound(err) != nil {
			s.t.Errorf("deleting Network %s: %v", name, err)
		}
	})
	return network
}

// clearNetwork removes what an interrupted run on a kept cluster has left.
func (s *scene) clearNetwork(name string) {
	s.t.Helper()
	old := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.must(client.IgnoreNotFound(s.Delete(s.ctx, old)))
	s.until(time.Minute, "an older Network "+name+" to be gone", func(ctx context.Context) error {
		if err := s.Get(ctx, client.ObjectKeyFromObject(old), old); !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is still there (%v)", err)
		}
		return nil
	})
}

// waitNetwork waits until the Network's Ready condition has the status and reason.
func (s *scene) waitNetwork(name string, status metav1.ConditionStatus, reason string) *v1alpha1.Network {
	s.t.Helper()
	var network v1alpha1.Network
	s.until(time.Minute, fmt.Sprintf("Network %s to be Ready=%s %s", name, status, reason), func(ctx context.Context) error {
		if err := s.Get(ctx, client.ObjectKey{Name: name}, &network); err != nil {
			return err
		}
		for _, c := range network.Status.Conditions {
			if c.Type == v1alpha1.NetworkConditionReady && c.Status == status && c.Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %v", network.Status.Conditions)
	})
	return &network
}
