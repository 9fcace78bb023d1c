//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const dualStackManifest = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: %s
  annotations:
    multinet.dev/namespaces: %s
spec:
  config: '{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "ipRanges": [{"range": "%s"}, {"range": "%s"}]}}'
`

// TestPodInJSON: the annotation of Multus in its JSON form, with addresses, a MAC and a default route, and definitions of two
// namespaces. A pod that asks for the same address waits for it.
func TestPodInJSON(t *testing.T) {
	s := newScene(t, nodeA, nodeB)
	s.adoptDefinitions()
	other := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace + "-b", Labels: map[string]string{netattach.LabelDefinitions: netattach.LabelDefinitionsNative}}}
	s.must(s.Create(s.ctx, other))
	t.Cleanup(func() { s.must(s.Delete(context.WithoutCancel(s.ctx), other)) })
	lan, san := networkSpec("eth1").IPAM.Ranges, networkSpec("eth1").IPAM.Ranges
	s.applyDefinition(s.namespace, fmt.Sprintf(dualStackManifest, "lan", "", lan[0].CIDR, lan[1].CIDR))
	s.applyDefinition(other.Name, fmt.Sprintf(dualStackManifest, "san", s.namespace, san[0].CIDR, san[1].CIDR))

	v4, v6 := netip.MustParsePrefix(lan[0].CIDR).Addr().As4(), netip.MustParsePrefix(lan[1].CIDR).Addr().As16()
	v4[3], v6[15] = 50, 0x50
	asked := []netip.Addr{netip.AddrFrom4(v4), netip.AddrFrom16(v6)}
	const mac = "02:00:00:00:60:50"
	left := s.createOfMultus("left", nodeA, fmt.Sprintf(`[
  {"name": "lan", "interface": "data0", "mac": "%s", "ips": ["%s/24", "%s"], "cni-args": null},
  {"name": "san", "namespace": "%s"}
]`, mac, asked[0], asked[1], other.Name))
	s.createOfMultus("right", nodeB, fmt.Sprintf(`[{"name": "lan", "interface": "net1", "default-route": ["%s"]}]`, asked[0]))
	s.waitReady(time.Minute, "left", "right")

	have := s.attachments("left")
	if len(have) != 2 || have["data0"].Spec.MAC != mac || have["data0"].Status.MAC != mac {
		t.Fatalf("left has %+v", have)
	}
	if diff := cmp.Diff([]string{asked[0].String() + "/24", asked[1].String() + "/64"}, have["data0"].Status.Addresses); diff != "" {
		t.Errorf("addresses of data0 (-want +got):\n%s", diff)
	}
	if net2 := have["net2"]; net2.Spec.NetworkName != netattach.NetworkName(other.Name, "san") || !netip.MustParsePrefix(san[0].CIDR).Contains(netip.MustParsePrefix(net2.Status.Addresses[0]).Addr()) {
		t.Errorf("net2 is %+v", net2)
	}
	s.assertJSONStatus("left", have, map[string]string{"data0": s.namespace + "/lan", "net2": other.Name + "/san"})
	for _, address := range asked {
		s.until(time.Minute, "right to reach "+address.String(), func(ctx context.Context) error {
			_, err := s.pingFrom(ctx, "right", address)
			return err
		})
	}

	s.leavesBy("right", fmt.Sprintf("via %s dev net1", asked[0]))

	s.createOfMultus("next", nodeB, fmt.Sprintf(`[{"name": "lan", "interface": "net1", "ips": ["%s"]}]`, asked[0]))
	s.until(time.Minute, "next to be told who has the address", func(ctx context.Context) error {
		pod, err := s.get(ctx, "next")
		if err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == v1alpha1.PodConditionPlanned && c.Reason == v1alpha1.ReasonAddressInUse &&
				strings.Contains(c.Message, fmt.Sprintf(`element 1: key "ips": %s is in use by attachment %s/left-`, asked[0], s.namespace)) {
				return nil
			}
		}
		return fmt.Errorf("its conditions are %+v", pod.Status.Conditions)
	})
	s.notReady("next")
	s.must(s.Delete(s.ctx, left))
	s.waitReady(3*time.Minute, "next")
	if got := s.attachments("next")["net1"].Status.Addresses; len(got) != 2 || got[0] != asked[0].String()+"/24" {
		t.Errorf("next has %v", got)
	}
}

// leavesBy: what a pod sends to the rest of the world goes this way, such as "via 10.0.0.1 dev net1".
func (s *scene) leavesBy(name, way string) {
	s.t.Helper()
	pod, err := s.get(s.ctx, name)
	s.must(err)
	out, err := s.InPod(s.ctx, pod, "ip", "route", "get", "203.0.113.7")
	if err != nil || !strings.Contains(out, " "+way+" ") {
		s.t.Errorf("way of pod %s to 203.0.113.7, want %s: %v: %s", name, way, err, out)
	}
}

// assertJSONStatus compares network-status with the attachments, in the order of the selection behind the default network.
func (s *scene) assertJSONStatus(name string, have map[string]v1alpha1.PodNetworkAttachment, names map[string]string) {
	s.t.Helper()
	s.until(time.Minute, "network-status of "+name, func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err != nil {
			return err
		}
		list, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
		if err != nil || len(list) != 1+len(names) || !list[0].Default {
			return errors.Join(err, fmt.Errorf("it is %v", list))
		}
		for _, got := range list[1:] {
			a := have[got.Interface]
			var want []netip.Addr
			for _, text := range a.Status.Addresses {
				want = append(want, netip.MustParsePrefix(text).Addr())
			}
			if got.Name != names[got.Interface] || got.MAC != a.Status.MAC || !cmp.Equal(want, got.IPs, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })) {
				return fmt.Errorf("%s is %+v, its attachment has %v", got.Interface, got, want)
			}
		}
		return nil
	})
}
