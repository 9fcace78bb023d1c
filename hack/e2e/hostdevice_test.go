//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const hostDeviceManifest = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: %s
spec:
  config: '{"cniVersion": "0.3.1", "type": "host-device", %s, "ipam": %s}'
`

// nic is what ip tells of a NIC of a node.
type nic struct {
	Name  string   `json:"ifname"`
	MAC   string   `json:"address"`
	MTU   int      `json:"mtu"`
	Alias string   `json:"ifalias"`
	Flags []string `json:"flags"`
}

func (n nic) up() bool { return slices.Contains(n.Flags, "UP") }

// TestHostDevice: definitions of host-device as they stand in clusters with Multus give the two ends of a cable, one of which is down,
// to one pod each. Others wait; the NICs come home as they were, also to an agent that was killed; one that the node uses is refused.
func TestHostDevice(t *testing.T) {
	t.Cleanup(func() {
		if _, err := multi.OnNode(context.Background(), nodeC, "ip", "link", "delete", "nic7"); err != nil {
			t.Error(err)
		}
	})
	s := newScene(t, nodeC)
	s.adoptDefinitions()
	for _, args := range []string{"link add nic7 type veth peer name nic8", "link set nic7 up alias lab mtu 1400"} {
		_, err := s.OnNode(s.ctx, nodeC, append([]string{"ip"}, strings.Fields(args)...)...)
		s.must(err)
	}
	home := s.nics()
	if nic7, nic8 := home["nic7"], home["nic8"]; !nic7.up() || nic8.up() || nic7.Alias != "lab" {
		t.Fatalf("the cable is %+v", home)
	}
	s.definesEnds(home["nic8"].MAC)

	s.createOfMultus("left", "", "left-end")
	s.createOfMultus("right", "", "right-end")
	s.waitReady(time.Minute, "left", "right")
	s.reaches("left", "right")
	s.reaches("right", "left")
	s.keepsMAC("left", home["nic7"])
	s.keepsMAC("right", home["nic8"])
	if now := s.nics(); len(now) != 0 {
		t.Errorf("the node has %+v still", now)
	}
	s.offersBoth()

	s.createOfMultus("next", "", "left-end")
	if m := s.waitCondition("next", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonNoNode); !strings.Contains(m, "has 1 NIC on nodes that admit the pod, and none is free") {
		t.Errorf("the pod that waits is told: %s", m)
	}
	s.killAgent(nodeC)
	s.network("witness", networkSpec("eth1"))
	s.create("witness", nodeC, "witness")
	s.waitReady(time.Minute, "witness")
	s.offersBoth()
	s.remove(false, "left")
	s.waitReady(time.Minute, "next")
	s.reaches("next", "right")

	s.remove(false, "next", "right")
	s.until(time.Minute, "the NICs to be home", func(context.Context) error {
		if diff := cmp.Diff(home, s.nics()); diff != "" {
			return fmt.Errorf("they differ (-before +now): %s", diff)
		}
		return nil
	})
	_, err := s.OnNode(s.ctx, nodeC, "ip", "address", "add", "192.0.2.7/24", "dev", "nic7")
	s.must(err)
	s.createOfMultus("refused", "", "left-end")
	s.waitAttachments(1, "the pod to be told that the node uses the NIC", func(a v1alpha1.PodNetworkAttachment) bool {
		return slices.ContainsFunc(a.Status.Conditions, func(c metav1.Condition) bool {
			return strings.Contains(c.Message, "take NIC: NIC nic7 is not free: the node has address 192.0.2.7/24 on it")
		})
	})
	s.notReady("refused")
}

// definesEnds has one end chosen by its name and the other by its MAC, with addresses of one subnet.
func (s *scene) definesEnds(mac string) {
	s.t.Helper()
	subnet := networkSpec("").IPAM.Ranges[0].CIDR
	address := func(last byte) netip.Addr {
		bytes := netip.MustParsePrefix(subnet).Addr().As4()
		bytes[3] = last
		return netip.AddrFrom4(bytes)
	}
	for name, end := range map[string]struct{ device, ipam string }{
		"left-end":  {`"device": "nic7"`, fmt.Sprintf(`{"type": "host-local", "subnet": "%s", "rangeStart": "%s", "rangeEnd": "%s"}`, subnet, address(10), address(19))},
		"right-end": {fmt.Sprintf(`"hwaddr": "%s"`, strings.ToUpper(mac)), fmt.Sprintf(`{"type": "whereabouts", "range": "%s", "range_start": "%s", "range_end": "%s"}`, subnet, address(20), address(29))},
	} {
		s.applyDefinition(s.namespace, fmt.Sprintf(hostDeviceManifest, name, end.device, end.ipam))
		network := netattach.NetworkName(s.namespace, name)
		s.until(time.Minute, "the Network of "+name, func(ctx context.Context) error {
			var n v1alpha1.Network
			if err := s.Get(ctx, client.ObjectKey{Name: network}, &n); err != nil {
				return err
			}
			if n.Spec.Type != v1alpha1.NetworkTypeHostDevice || n.Status.Nodes != 1 {
				return fmt.Errorf("it is of type %s on %d nodes: %+v", n.Spec.Type, n.Status.Nodes, n.Status.Conditions)
			}
			return nil
		})
	}
}

// nics are nic7 and nic8 as far as they are on the node.
func (s *scene) nics() map[string]nic {
	s.t.Helper()
	out, err := s.OnNode(s.ctx, nodeC, "ip", "-j", "link", "show", "type", "veth")
	s.must(err)
	var list []nic
	s.must(json.Unmarshal([]byte(out), &list))
	found := map[string]nic{}
	for _, n := range list {
		if n.Name == "nic7" || n.Name == "nic8" {
			// Whether the cable has two ends that are up is seen a moment after they are.
			n.Flags = slices.DeleteFunc(n.Flags, func(flag string) bool { return flag != "UP" && flag != "PROMISC" && flag != "ALLMULTI" })
			found[n.Name] = n
		}
	}
	return found
}

// keepsMAC: the interface has the MAC of its NIC, and network-status says so.
func (s *scene) keepsMAC(name string, n nic) {
	s.t.Helper()
	a := s.attachments(name)["net1"]
	if a.Status.MAC != n.MAC || a.Spec.MAC != "" || a.Status.Device == nil || a.Status.Device.Uplink != n.Name || a.Status.MTU != int32(n.MTU) {
		s.t.Errorf("attachment of %s: %+v, want NIC %+v", name, a.Status, n)
	}
	pod, err := s.get(s.ctx, name)
	s.must(err)
	if out, err := s.InPod(s.ctx, pod, "cat", "/sys/class/net/net1/address"); err != nil || strings.TrimSpace(out) != n.MAC {
		s.t.Errorf("net1 of %s: %v: %s", name, err, out)
	}
	list, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	if err != nil || len(list) != 2 || list[1].MAC != n.MAC || list[1].Interface != "net1" {
		s.t.Errorf("network-status of %s: %v: %s", name, err, pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	}
}

// offersBoth: the NICs are in the node's slices although they are away, or the scheduler would not know what it has given.
func (s *scene) offersBoth() {
	s.t.Helper()
	s.until(time.Minute, "the node's slices to have the NICs", func(ctx context.Context) error {
		var list resourceapi.ResourceSliceList
		if err := s.List(ctx, &list); err != nil {
			return err
		}
		var offered []string
		for _, slice := range list.Items {
			if slice.Spec.Driver != v1alpha1.DriverName || slice.Spec.NodeName == nil || *slice.Spec.NodeName != nodeC {
				continue
			}
			for _, d := range slice.Spec.Devices {
				if strings.HasPrefix(d.Name, "uplink-nic") {
					offered = append(offered, d.Name)
				}
			}
		}
		if slices.Sort(offered); !slices.Equal(offered, []string{"uplink-nic7", "uplink-nic8"}) {
			return fmt.Errorf("they have %v", offered)
		}
		return nil
	})
}
