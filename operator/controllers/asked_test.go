package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
)

// inJSON creates a pod as the admission policy leaves it that selects one definition of the test's namespace.
func (w *world) inJSON(name, definition, keys, node string) *corev1.Pod {
	w.t.Helper()
	return w.annotated(name, map[string]string{
		v1alpha1.AnnotationNetworks: netattach.NetworkName(w.namespace, definition),
		npwg.AnnotationNetworks:     fmt.Sprintf(`[{"name": %q%s}]`, definition, keys),
	}, node)
}

// askedFor is what a pod asks for by some keys.
func askedFor(t *testing.T, keys string) *decide.Asked {
	t.Helper()
	elements, err := npwg.Parse(`[{"name": "lan", `+keys+`}]`, "ns")
	if err != nil {
		t.Fatal(err)
	}
	asked := &decide.Asked{MAC: elements[0].MAC.String(), Element: elements[0], Position: 1}
	for _, ip := range elements[0].IPs {
		asked.Addresses = append(asked.Addresses, ip.Addr)
	}
	return asked
}

// asking is the world of a definition with addresses 10.20.0.0/24 and fd00:20::/64.
func asking(t *testing.T) *world {
	w := newWorld(t)
	w.adopt("native")
	w.startManager()
	d := w.definition("lan", `{"type": "macvlan", "master": "eth1", "ipam": {"type": "whereabouts", "ipRanges": [
		{"range": "10.20.0.0/24", "range_end": "10.20.0.9"}, {"range": "fd00:20::/64"}]}}`)
	w.derived(d, "made", whole)
	return w
}

func TestAskedAddressesAndMAC(t *testing.T) {
	w := asking(t)
	both := w.attached(w.inJSON("both", "lan", `, "ips": ["10.20.0.77/24", "fd00:20::77"], "mac": "02:00:00:00:00:09"`, "node1"), 1)["net1"]
	if addressList(both) != "10.20.0.77/24 fd00:20::77/64" || both.Spec.MAC != "02:00:00:00:00:09" {
		t.Errorf("it has %+v", both.Spec)
	}
	if one := w.attached(w.inJSON("one", "lan", `, "ips": ["10.20.0.2"]`, "node1"), 1)["net1"]; !strings.HasPrefix(addressList(one), "10.20.0.2/24 fd00:20::") {
		t.Errorf("it has %s", addressList(one))
	}
	if mac := w.attached(w.inJSON("mac", "lan", `, "mac": "06:00:00:00:00:01"`, "node1"), 1)["net1"]; len(mac.Spec.Addresses) != 2 || mac.Spec.MAC != "06:00:00:00:00:01" {
		t.Errorf("it has %+v", mac.Spec)
	}
}

// TestDefaultRouteIsOrdered: the order has the gateways that the pod names, and keeps them.
func TestDefaultRouteIsOrdered(t *testing.T) {
	w := asking(t)
	order := w.attached(w.inJSON("routed", "lan", `, "default-route": ["10.20.0.1", "fe80::1"]`, "node1"), 1)["net1"]
	if got := strings.Join(order.Spec.DefaultRoutes, " "); got != "10.20.0.1 fe80::1" || len(order.Spec.Addresses) != 2 {
		t.Errorf("default routes by %s, %+v", got, order.Spec)
	}
}

// TestAskedOfPlugins: what the pod asks of CNI plugins is in the order, and what none of them declares keeps it from its networks.
func TestAskedOfPlugins(t *testing.T) {
	w := newWorld(t)
	w.adopt("native")
	w.label(netattach.LabelPlugins, netattach.LabelPluginsAllowed)
	w.startManager()
	w.derived(w.definition("lan", `{"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}, {"type": "portmap", "capabilities": {"portMappings": true}}]}`), "made", whole)
	order := w.attached(w.inJSON("web", "lan", `, "portMappings": [{"hostPort": 8080, "containerPort": 80}], "cni-args": {"a": [1]}`, "node1"), 1)["net1"]
	want := &v1alpha1.CNIArguments{PortMappings: []v1alpha1.CNIPortMapping{{HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}, Args: `{"a": [1]}`}
	if diff := cmp.Diff(want, order.Spec.CNIArguments); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	unheard := w.inJSON("unheard", "lan", `, "mac": "02:00:00:00:00:01"`, "node1")
	if got := w.planned(unheard, corev1.ConditionFalse, v1alpha1.ReasonCannotHonour); !strings.Contains(got.Message, `element 1: key "mac": no plugin of the network declares the capability "mac"`) {
		t.Errorf("message %q", got.Message)
	}
}

// TestAskedIsInUse: nobody has an address or a MAC together with another, whoever was first, and whoever waits gets it later.
func TestAskedIsInUse(t *testing.T) {
	w := asking(t)
	first := w.inJSON("first", "lan", `, "ips": ["10.20.0.5"], "mac": "02:00:00:00:00:05"`, "node1")
	w.attached(first, 1)
	address := w.inJSON("address", "lan", `, "ips": ["10.20.0.5"]`, "node1")
	mac := w.inJSON("mac", "lan", `, "mac": "02:00:00:00:00:05"`, "node1")
	for pod, c := range map[*corev1.Pod]struct{ reason, says string }{
		address: {v1alpha1.ReasonAddressInUse, `key "ips": 10.20.0.5 is in use by attachment ` + w.namespace + "/first-"},
		mac:     {v1alpha1.ReasonMACInUse, `key "mac": MAC 02:00:00:00:00:05 is in use by attachment ` + w.namespace + "/first-"},
	} {
		if got := w.planned(pod, corev1.ConditionFalse, c.reason); !strings.Contains(got.Message, "annotation k8s.v1.cni.cncf.io/networks: line 1, column 25: element 1: "+c.says) {
			t.Errorf("message %q", got.Message)
		}
		w.eventually("event", func() error { return w.hasEvent(pod.UID, c.reason) })
		if len(w.attachments(pod)) > 0 {
			t.Errorf("%s has an attachment", pod.Name)
		}
	}
	w.kill(first)
	for _, pod := range []*corev1.Pod{address, mac} {
		w.attached(pod, 1)
		w.planned(pod, corev1.ConditionTrue, v1alpha1.ReasonPlanned)
	}
	if got := w.attachments(address)["net1"]; !strings.HasPrefix(addressList(got), "10.20.0.5/24") {
		t.Errorf("it has %s", addressList(got))
	}
}

// TestAskedThatCannotBeHad: such a pod has no attachment, and its condition and event say which key of which element.
func TestAskedThatCannotBeHad(t *testing.T) {
	w := asking(t)
	for keys, c := range map[string]struct{ reason, says string }{
		`, "ips": ["10.21.0.5"]`:                         {v1alpha1.ReasonCannotHonour, `element 1: key "ips": 10.21.0.5 is in no range of the network`},
		`, "bandwidth": {"ingressRate": 1}`:              {v1alpha1.ReasonCannotHonour, `element 1: key "bandwidth": a limit belongs to a QoSClass`},
		`, "default-route": ["10.21.0.1"]`:               {v1alpha1.ReasonCannotHonour, `element 1: key "default-route": 10.21.0.1 is no neighbour of an address in 10.20.0.0/24`},
		`, "ipam-claim-reference": "a"`:                  {v1alpha1.ReasonCannotHonour, `element 1: key "ipam-claim-reference": Multinet reads no IPAMClaims`},
		`, "infiniband-guid": "c2:11:22:33:44:55:66:77"`: {v1alpha1.ReasonCannotHonour, `element 1: key "infiniband-guid": Multinet sets no`},
		`, "device-id": "0000:01:00.0"`:                  {v1alpha1.ReasonMalformedSelection, `element 1: key "device-id": the specification knows no such key`},
		`, "namespace": "other"`:                         {v1alpha1.ReasonMalformedSelection, "selects other networks or interfaces than annotation multinet.dev/networks"},
	} {
		pod := w.inJSON("p", "lan", keys, "node1")
		if got := w.planned(pod, corev1.ConditionFalse, c.reason); !strings.Contains(got.Message, c.says) {
			t.Errorf("%s: message %q", keys, got.Message)
		}
		w.eventually("event", func() error { return w.hasEvent(pod.UID, c.reason) })
		if len(w.attachments(pod)) > 0 {
			t.Errorf("%s: it has an attachment", keys)
		}
		w.kill(pod)
	}
}

// What a pod asks for and does not get in the end rests, as after any other pod that had it, and is then for all.
func TestAskedIsGivenBack(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	a.Observe(record("x", "x1", "10.0.0.1"))
	a.Forget("x1", now0)
	wants(t, reserved(t, a, "w"), "10.0.0.2")
	asked := Want{Network: "n", Key: attachmentKey("y"), Pod: attachmentKey("pod"), Asked: askedFor(t, `"ips": ["10.0.0.1"], "mac": "02:00:00:00:00:01"`)}
	if got, err := a.Reserve([]Want{asked}, now0); err != nil || got[asked.Key][0].Addr.String() != "10.0.0.1" {
		t.Fatalf("%v, %v", got, err)
	}
	other := asked
	other.Key, other.Pod = attachmentKey("z"), attachmentKey("other")
	other.Asked = askedFor(t, `"mac": "02:00:00:00:00:01"`)
	_, err := a.Reserve([]Want{other}, now0)
	says(t, fmt.Sprint(err), `element 1: key "mac": MAC 02:00:00:00:00:01 is in use by attachment ns/y, which is being made`)
	a.Refused(asked.Key)
	if got, err := a.Reserve([]Want{other}, now0.Add(time.Hour)); err != nil || got[other.Key][0].Addr.String() != "10.0.0.1" {
		t.Errorf("%v, %v", got, err)
	}
}

// Another leader's attachment records what was reserved for a pod that asks: the pod waits, and gets nothing else.
func TestAskedIsNotGivenTwice(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	asked := Want{Network: "n", Key: attachmentKey("y"), Pod: attachmentKey("pod"), Asked: askedFor(t, `"ips": ["10.0.0.1"]`)}
	if _, err := a.Reserve([]Want{asked}, now0); err != nil {
		t.Fatal(err)
	}
	a.Observe(record("x", "x1", "10.0.0.1"))
	_, err := a.Reserve([]Want{asked}, now0)
	says(t, fmt.Sprint(err), `element 1: key "ips": 10.0.0.1 is in use by attachment ns/x`)
	a.Forget("x1", now0)
	if got, err := a.Reserve([]Want{asked}, now0); err != nil || got[asked.Key][0].Addr.String() != "10.0.0.1" {
		t.Errorf("%v, %v", got, err)
	}
}

// An interface that will have any address leaves the one to another that asks for it.
func TestAskedComesFirst(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	other := Want{Network: "n", Key: attachmentKey("y"), Pod: attachmentKey("pod")}
	asked := Want{Network: "n", Key: attachmentKey("z"), Pod: attachmentKey("pod"), Asked: askedFor(t, `"ips": ["10.0.0.1"]`)}
	for range 2 {
		got, err := a.Reserve([]Want{other, asked}, now0)
		if err != nil || got[other.Key][0].Addr.String() != "10.0.0.2" || got[asked.Key][0].Addr.String() != "10.0.0.1" {
			t.Errorf("%v, %v", got, err)
		}
	}
}
