package decide

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// racksWorld is a cluster whose racks are planned after everything that happens.
type racksWorld struct {
	t       *rapid.T
	network *v1alpha1.Network
	nodes   map[string]string // rack by node
	pods    map[string]rackPod
	others  map[int32]bool // VNIs of other Networks
	now     time.Time
	// emptied is when a rack lost its last node and pod.
	emptied map[string]time.Time
}

type rackPod struct {
	rack  string
	addrs []netip.Addr
}

// Prefixes never overlap and never have another rack's address; what has nodes or pods loses nothing, nor what lost them
// just now; and a rack goes without only where nothing is left.
func TestRacksKeepWhatTheyHave(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newRacksWorld(rt)
		rt.Repeat(w.actions())
		w.resolve()
	})
}

func newRacksWorld(t *rapid.T) *racksWorld {
	four, six := int32(30), int32(126)
	w := &racksWorld{t: t, nodes: map[string]string{}, pods: map[string]rackPod{}, others: map[int32]bool{}, emptied: map[string]time.Time{},
		now: time.Unix(1000, 0), network: rackNetwork("n", func(n *v1alpha1.Network) {
			n.Spec.RackLocal.PrefixLength = &v1alpha1.RackPrefixLength{IPv4: &four, IPv6: &six}
			n.Spec.RackLocal.Overlay.VNIs = v1alpha1.VNIRange{First: 10, Last: 13}
			n.Spec.IPAM = &v1alpha1.IPAMSpec{
				Ranges:     []v1alpha1.IPRange{{CIDR: "10.0.0.0/29"}, {CIDR: "fd00::/124", Exclude: []string{"fd00::4/126"}}},
				Quarantine: &metav1.Duration{Duration: time.Duration(rapid.SampledFrom([]int{0, 3, 60}).Draw(t, "quarantine")) * time.Second},
			}
		})}
	w.plan()
	return w
}

func (w *racksWorld) actions() map[string]func(*rapid.T) {
	names := func(kind string, n int) *rapid.Generator[string] {
		return rapid.Map(rapid.IntRange(1, n), func(i int) string { return fmt.Sprint(kind, i) })
	}
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { w.plan() },
		"node is in a rack": func(t *rapid.T) {
			w.nodes[names("node", 5).Draw(t, "node")] = names("rack", 5).Draw(t, "rack")
		},
		"node is gone": func(t *rapid.T) { delete(w.nodes, names("node", 5).Draw(t, "node")) },
		"pod comes":    func(t *rapid.T) { w.attach(names("pod", 6).Draw(t, "pod"), names("rack", 5).Draw(t, "rack")) },
		"pod goes":     func(t *rapid.T) { delete(w.pods, names("pod", 6).Draw(t, "pod")) },
		"time": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.SampledFrom([]int{1, 400, 1000, 2500, 30000, 61000}).Draw(t, "ms")) * time.Millisecond)
		},
		"range": func(t *rapid.T) {
			w.toggleRange(rapid.SampledFrom([]string{"10.0.0.0/29", "10.9.0.0/30", "10.9.1.0/28", "fd01::/125"}).Draw(t, "cidr"))
		},
		"another network": func(t *rapid.T) {
			if vni := rapid.Int32Range(10, 13).Draw(t, "vni"); w.others[vni] {
				delete(w.others, vni)
			} else if !slices.ContainsFunc(w.network.Status.Racks, func(r v1alpha1.RackStatus) bool { return r.VNI == vni }) {
				w.others[vni] = true
			}
		},
	}
}

func (w *racksWorld) toggleRange(cidr string) {
	before := w.network.Spec.IPAM.Ranges
	w.network = w.network.DeepCopy()
	w.network.Spec.IPAM.Ranges = slices.DeleteFunc(w.network.Spec.IPAM.Ranges, func(r v1alpha1.IPRange) bool { return r.CIDR == cidr })
	if len(w.network.Spec.IPAM.Ranges) == len(before) {
		w.network.Spec.IPAM.Ranges = append(w.network.Spec.IPAM.Ranges, v1alpha1.IPRange{CIDR: cidr})
	}
}

// attach takes the first address of the rack's prefixes that nobody has.
func (w *racksWorld) attach(name, rack string) {
	i := slices.IndexFunc(w.network.Status.Racks, func(r v1alpha1.RackStatus) bool { return r.Name == rack })
	if _, exists := w.pods[name]; exists || i < 0 || !RackServed(w.network, w.parents(), w.network.Status.Racks[i]) {
		return
	}
	pod := rackPod{rack: rack}
	for _, r := range RackRanges(w.parents(), w.network.Status.Racks[i:i+1]) {
		addr := r.Prefix.Addr()
		for r.Prefix.Contains(addr) && (!r.Contains(addr) || w.owner(addr) != "") {
			addr = addr.Next()
		}
		if !r.Prefix.Contains(addr) {
			return
		}
		pod.addrs = append(pod.addrs, addr)
	}
	w.pods[name] = pod
}

func (w *racksWorld) owner(addr netip.Addr) string {
	for name, pod := range w.pods {
		if slices.Contains(pod.addrs, addr) {
			return name
		}
	}
	return ""
}

func (w *racksWorld) parents() []ipam.Range {
	parents, err := ipam.ParseRanges(w.network.Spec.IPAM)
	if err != nil {
		w.t.Fatal(err)
	}
	return parents
}

func (w *racksWorld) facts() RackFacts {
	f := RackFacts{Network: w.network, Recorded: w.network.Status.Racks, Nodes: map[string]int32{}, Attachments: map[string]int32{},
		VNITaken: func(vni int32) bool { return w.others[vni] }, Now: w.now}
	for _, rack := range w.nodes {
		f.Nodes[rack]++
	}
	ranges := RackRanges(w.parents(), f.Recorded)
	for _, pod := range w.pods {
		f.Attachments[pod.rack]++
		for _, addr := range pod.addrs {
			if !slices.ContainsFunc(ranges, func(r ipam.Range) bool { return r.Contains(addr) }) {
				f.Strays = append(f.Strays, addr)
			}
		}
	}
	return f
}

// plan records what is planned, in the precision of the API.
func (w *racksWorld) plan() {
	facts := w.facts()
	before := slices.Clone(facts.Recorded)
	plan := Racks(facts)
	if diff := cmp.Diff(before, facts.Recorded); diff != "" {
		w.t.Fatalf("the facts were changed:\n%s", diff)
	}
	w.check(facts, plan)
	w.network.Status.Racks = plan.Racks
	if again := Racks(w.facts()); Quarantine(w.network) > 0 && !cmp.Equal(again.Racks, plan.Racks) {
		w.t.Fatalf("not stable:\n%s", cmp.Diff(plan.Racks, again.Racks))
	}
}

func (w *racksWorld) check(f RackFacts, plan RackPlan) {
	after := map[string]v1alpha1.RackStatus{}
	for _, rack := range plan.Racks {
		after[rack.Name] = rack
	}
	w.checkApart(plan.Racks)
	for _, old := range f.Recorded {
		busy := f.Nodes[old.Name]+f.Attachments[old.Name] > 0
		if _, known := w.emptied[old.Name]; !busy && !known {
			w.emptied[old.Name] = w.now
		} else if busy {
			delete(w.emptied, old.Name)
		}
		rack, kept := after[old.Name]
		if !kept && (busy || w.now.Sub(w.emptied[old.Name]) < Quarantine(w.network)) {
			w.t.Fatalf("%+v was given back", old)
		}
		if !kept {
			delete(w.emptied, old.Name)
			continue
		}
		for _, r := range RackRanges(w.parents(), []v1alpha1.RackStatus{old}) {
			if !slices.Contains(rack.Prefixes, r.Prefix.String()) {
				w.t.Fatalf("%+v became %+v", old, rack)
			}
		}
		if old.VNI != 0 && rack.VNI != old.VNI {
			w.t.Fatalf("%+v became %+v", old, rack)
		}
	}
	for name := range f.Nodes {
		w.checkServed(after[name], plan.Racks)
	}
}

func (w *racksWorld) checkApart(racks []v1alpha1.RackStatus) {
	vnis := maps.Clone(w.others)
	var all []netip.Prefix
	for _, rack := range racks {
		if rack.VNI != 0 && vnis[rack.VNI] || rack.VNI != 0 && (rack.VNI < 10 || rack.VNI > 13) {
			w.t.Fatalf("VNI of %+v", rack)
		}
		vnis[rack.VNI] = true
		for _, text := range rack.Prefixes {
			prefix := netip.MustParsePrefix(text)
			if slices.ContainsFunc(all, prefix.Overlaps) {
				w.t.Fatalf("%s of %s overlaps", prefix, rack.Name)
			}
			all = append(all, prefix)
			for name, pod := range w.pods {
				if pod.rack != rack.Name && slices.ContainsFunc(pod.addrs, prefix.Contains) {
					w.t.Fatalf("%s of %s has an address of %s in %s", prefix, rack.Name, name, pod.rack)
				}
			}
		}
	}
}

// checkServed looks for what the rack could have had.
func (w *racksWorld) checkServed(rack v1alpha1.RackStatus, racks []v1alpha1.RackStatus) {
	for vni := int32(10); vni <= 13 && rack.VNI == 0; vni++ {
		if !w.others[vni] && !slices.ContainsFunc(racks, func(r v1alpha1.RackStatus) bool { return r.VNI == vni }) {
			w.t.Fatalf("VNI %d is free, %+v", vni, rack)
		}
	}
	for _, parent := range w.parents() {
		if hasFamily(rack, parent.Family()) {
			continue
		}
		bits, _ := prefixLength(w.network.Spec.RackLocal, parent.Family())
		for addr := parent.Prefix.Addr(); parent.Prefix.Contains(addr); addr = addr.Next() {
			prefix := netip.PrefixFrom(addr, bits)
			if _, err := ipam.RackRange(parent, prefix, ""); err == nil && w.free(prefix, racks) {
				w.t.Fatalf("%s is free, %+v", prefix, rack)
			}
		}
	}
}

func (w *racksWorld) free(prefix netip.Prefix, racks []v1alpha1.RackStatus) bool {
	for _, rack := range racks {
		if slices.Contains(rack.Prefixes, prefix.String()) {
			return false
		}
	}
	for _, pod := range w.pods {
		if slices.ContainsFunc(pod.addrs, prefix.Contains) {
			return false
		}
	}
	return true
}

// resolve: with room, every rack is served, and only those that have nodes or pods are left in the end.
func (w *racksWorld) resolve() {
	clear(w.others)
	// Five racks, four VNIs.
	maps.DeleteFunc(w.nodes, func(_, rack string) bool { return rack == "rack5" })
	maps.DeleteFunc(w.pods, func(_ string, pod rackPod) bool { return pod.rack == "rack5" })
	w.network.Spec.IPAM.Ranges = append(w.network.Spec.IPAM.Ranges, v1alpha1.IPRange{CIDR: "10.77.0.0/24"}, v1alpha1.IPRange{CIDR: "fd77::/64"})
	w.plan()
	w.now = w.now.Add(2 * time.Minute)
	w.plan()
	for _, rack := range w.network.Status.Racks {
		if rack.Nodes+rack.Attachments == 0 || rack.Nodes > 0 && !RackServed(w.network, w.parents(), rack) {
			w.t.Fatalf("in the end: %+v", rack)
		}
	}
}
