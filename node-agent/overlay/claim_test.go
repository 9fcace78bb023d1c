package overlay

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

var (
	self     = "node-a"
	rack1    = plan.Overlay{Network: "rack", Rack: "r1", VNI: 5000, Port: 4789, Local: netip.MustParseAddr("172.18.0.2")}
	firstDay = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	compare  = cmp.Options{
		cmp.AllowUnexported(claim{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b plumb.Entry) bool { return a == b }), cmp.Comparer(func(a, b subject) bool { return a == b }),
	}
)

// attachment is one of rack1 on the node whose address is via.
func attachment(name, node, via, mac string, addrs ...string) *v1alpha1.PodNetworkAttachment {
	pna := &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: firstDay},
		Spec: v1alpha1.PodNetworkAttachmentSpec{
			NetworkName: "rack", NodeName: node, MAC: mac,
			RackLocal: &v1alpha1.AttachmentRack{Rack: "r1", Overlay: &v1alpha1.AttachmentOverlay{VNI: 5000, Port: 4789, NodeAddress: via}},
		},
	}
	for _, addr := range addrs {
		pna.Spec.Addresses = append(pna.Spec.Addresses, v1alpha1.AttachmentAddress{Address: addr})
	}
	return pna
}

func remote() *v1alpha1.PodNetworkAttachment {
	return attachment("a", "node-b", "172.18.0.3", "02:00:00:00:00:0a", "10.1.0.10/24", "fd00:1::a/64")
}

func TestClaimOf(t *testing.T) {
	mac := plumb.MAC{2, 0, 0, 0, 0, 0xa}
	addrs := []netip.Addr{netip.MustParseAddr("10.1.0.10"), netip.MustParseAddr("fd00:1::a")}
	whole := claim{
		name: types.NamespacedName{Namespace: "ns", Name: "a"}, uid: "uid-a", created: firstDay.Time,
		mac: mac, addrs: addrs, via: netip.MustParseAddr("172.18.0.3"),
	}
	with := func(change func(*claim)) *claim { c := whole; change(&c); return &c }
	for name, test := range map[string]struct {
		change    func(*v1alpha1.PodNetworkAttachment)
		want      *claim
		wantError string
	}{
		"of another node":   {func(*v1alpha1.PodNetworkAttachment) {}, &whole, ""},
		"of this node":      {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.NodeName = self }, with(func(c *claim) { c.via = netip.Addr{} }), ""},
		"being deleted":     {func(p *v1alpha1.PodNetworkAttachment) { p.DeletionTimestamp = &firstDay }, with(func(c *claim) { c.deleting = true }), ""},
		"without addresses": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.Addresses = nil }, with(func(c *claim) { c.addrs = nil }), ""},
		"another VNI":       {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay.VNI = 5001 }, nil, ""},
		"another port":      {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay.Port = 8472 }, nil, ""},
		"on an uplink":      {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay = nil }, nil, ""},
		"of no rack":        {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal = nil }, nil, ""},
		"bad address": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.Addresses[0].Address = "10.1.0.10" },
			with(func(c *claim) { c.addrs = addrs[1:] }), "spec.addresses[0].address"},
		"group address": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.Addresses[1].Address = "ff02::1/64" },
			with(func(c *claim) { c.addrs = addrs[:1] }), "spec.addresses[1].address"},
		"bad MAC":   {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.MAC = "x" }, nil, "spec.mac"},
		"group MAC": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.MAC = "01:00:5e:00:00:01" }, nil, "spec.mac"},
		"zero MAC":  {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.MAC = "00:00:00:00:00:00" }, nil, "spec.mac"},
		"long MAC":  {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.MAC = "02:00:00:00:00:00:00:01" }, nil, "spec.mac"},
		"bad node":  {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay.NodeAddress = "" }, nil, "nodeAddress"},
		"node of the other family": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay.NodeAddress = "fd00::3" }, nil,
			"another IP family"},
		"another node with this address": {func(p *v1alpha1.PodNetworkAttachment) { p.Spec.RackLocal.Overlay.NodeAddress = "172.18.0.2" }, nil,
			"that of this node"},
	} {
		t.Run(name, func(t *testing.T) {
			pna := remote()
			test.change(pna)
			got, err := claimOf(pna, self, rack1)
			if diff := cmp.Diff(test.want, got, compare); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (test.wantError == "") || err != nil && !strings.Contains(err.Error(), test.wantError) {
				t.Errorf("error %v, want %q", err, test.wantError)
			}
		})
	}
}

// Whatever an attachment says, what comes out can be programmed.
func FuzzClaimOf(f *testing.F) {
	f.Add("node-b", "172.18.0.3", "02:00:00:00:00:0a", "10.1.0.10/24")
	f.Add("node-a", "", "02:00:00:00:00:0a", "fd00::1/64")
	f.Add("node-b", "::ffff:1.2.3.4", "ff:ff:ff:ff:ff:ff", "::/0")
	f.Fuzz(func(t *testing.T, node, via, mac, addr string) {
		c, err := claimOf(attachment("a", node, via, mac, addr), self, rack1)
		if c == nil {
			if err == nil {
				t.Error("left out without a word")
			}
			return
		}
		if c.mac[0]&1 != 0 || c.local() != (node == self) || !c.local() && !c.via.Is4() {
			t.Errorf("claim %+v", c)
		}
		for _, a := range c.addrs {
			if !a.IsValid() || a.IsMulticast() || a.Zone() != "" {
				t.Errorf("address %s", a)
			}
		}
	})
}
