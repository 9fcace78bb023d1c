//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/check"
)

// TestDemo runs the first example and the very check of `make demo`.
func TestDemo(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	example := check.StorageExample(s.Cluster, t.Output())
	s.example(example.Example, &v1alpha1.Network{ObjectMeta: named("storage")},
		&v1alpha1.QoSClass{ObjectMeta: named("gold")}, &v1alpha1.QoSClass{ObjectMeta: named("silver")}, &v1alpha1.QoSClass{ObjectMeta: named("bronze")})
	s.must(example.Run(s.ctx))
	s.removeExample(example.Example)
}

// TestDemoOfRacks does so with the second, and then looks at racks closer than a reader would.
func TestDemoOfRacks(t *testing.T) {
	s := newScene(t, nodeA, nodeB, nodeC, nodeD)
	example := check.RacksExample(s.Cluster, t.Output())
	s.example(example.Example, &v1alpha1.Network{ObjectMeta: named("rack-nic")}, &v1alpha1.Network{ObjectMeta: named("rack-overlay")})
	s.must(example.Run(s.ctx))
	in := *s
	in.namespace = example.Namespace
	in.reachesNoneWithRoutes("a-0", "b-0", "net1")
	in.reachesNoneWithRoutes("a-0", "b-0", "net2")
	in.showsRacks()
	s.devicesNameTheirRack()
	s.removeExample(example.Example)
}

// example applies an example, and removes it with the objects that are not in its namespace when the test is over.
func (s *scene) example(example check.Example, objects ...client.Object) {
	s.t.Helper()
	objects = append(objects, &corev1.Namespace{ObjectMeta: named(example.Namespace)})
	s.t.Cleanup(func() {
		for _, object := range objects {
			if err := s.Delete(s.ctx, object); err != nil {
				s.t.Errorf("removing the example: %v", err)
			}
		}
	})
	s.must(example.Apply(s.ctx, tool.Repository))
}

// removeExample waits until nothing is left of the example's pods: it has a namespace of its own, which finish does not look at.
func (s *scene) removeExample(example check.Example) {
	s.t.Helper()
	s.must(s.DeleteAllOf(s.ctx, &appsv1.StatefulSet{}, client.InNamespace(example.Namespace)))
	s.must(s.DeleteAllOf(s.ctx, &corev1.Pod{}, client.InNamespace(example.Namespace)))
	s.until(time.Minute, "nothing of the example to be left", s.emptyNamespace(example.Namespace))
}

// reachesNoneWithRoutes gives both pods routes to each other's prefixes and neighbour entries, so that nothing but the segment
// keeps them apart. From within a pod nobody could do so.
func (s *scene) reachesNoneWithRoutes(from, to, device string) {
	s.t.Helper()
	left, right := s.attachments(from)[device], s.attachments(to)[device]
	s.knows(left, right)
	s.knows(right, left)
	pod, err := s.get(s.ctx, from)
	s.must(err)
	for _, a := range right.Spec.Addresses {
		address := netip.MustParsePrefix(a.Address).Addr()
		out, err := s.InPod(s.ctx, pod, "ping", "-I", device, "-c", "2", "-i", "0.2", "-W", "1", address.String())
		if err == nil || !strings.Contains(err.Error(), "100% packet loss") {
			s.t.Errorf("ping from %s to %s of another rack over %s: %v: %s", from, address, device, err, out)
		}
	}
}

func (s *scene) knows(from, to v1alpha1.PodNetworkAttachment) {
	s.t.Helper()
	state, err := s.inspectNode(s.ctx, from.Spec.NodeName)
	s.must(err)
	l, err := state.linkOf(from)
	s.must(err)
	for _, a := range to.Spec.Addresses {
		address := netip.MustParsePrefix(a.Address)
		_, err := s.OnNode(s.ctx, from.Spec.NodeName, "nsenter", "--net="+l.namespace, "sh", "-c", fmt.Sprintf(
			"ip route add %[1]s dev %[2]s && ip neigh replace %[3]s lladdr %[4]s dev %[2]s", address.Masked(), l.Name, address.Addr(), to.Spec.MAC))
		s.must(err)
	}
}

// showsRacks looks at the columns of kubectl.
func (s *scene) showsRacks() {
	s.t.Helper()
	for _, table := range []struct {
		args []string
		want []string
	}{
		{[]string{"get", "networks.multinet.dev", "rack-nic", "rack-overlay"}, []string{"RACKS", " a, b "}},
		{[]string{"get", "pna", "-n", s.namespace, "--field-selector", "spec.pod.name=b-1"}, []string{"RACK", " b "}},
		{[]string{"get", "pna", "-n", s.namespace, "--field-selector", "spec.pod.name=a-0"}, []string{"RACK", " a "}},
	} {
		out, err := s.Kubectl(s.ctx, nil, table.args...)
		s.must(err)
		for _, want := range table.want {
			if !strings.Contains(out, want) {
				s.t.Errorf("kubectl %v shows no %q:\n%s", table.args, want, out)
			}
		}
	}
}

// devicesNameTheirRack: by this attribute a claim's constraint keeps a workload in one rack.
func (s *scene) devicesNameTheirRack() {
	s.t.Helper()
	racks := map[string]string{nodeA: "a", nodeB: "a", nodeC: "b", nodeD: "b"}
	s.until(time.Minute, "all devices of the workers to name their rack", func(ctx context.Context) error {
		var slices resourceapi.ResourceSliceList
		if err := s.List(ctx, &slices); err != nil {
			return err
		}
		kinds := map[string]int{}
		for _, slice := range slices.Items {
			if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil || racks[*slice.Spec.NodeName] == "" {
				continue
			}
			for _, device := range slice.Spec.Devices {
				if got := text(device, v1alpha1.DeviceAttributeRack); got != racks[*slice.Spec.NodeName] {
					return fmt.Errorf("device %s of node %s names rack %q", device.Name, *slice.Spec.NodeName, got)
				}
				kinds[text(device, v1alpha1.DeviceAttributeKind)]++
			}
		}
		if kinds[string(v1alpha1.DeviceKindOverlay)] != len(racks) || kinds[string(v1alpha1.DeviceKindUplink)] < 2*len(racks) {
			return fmt.Errorf("the devices by kind are %v", kinds)
		}
		return nil
	})
}

// text is an attribute of our domain, with it or without.
func text(device resourceapi.Device, name string) string {
	for _, key := range []string{name, v1alpha1.DriverName + "/" + name} {
		if value := device.Attributes[resourceapi.QualifiedName(key)].StringValue; value != nil {
			return *value
		}
	}
	return ""
}

func named(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
