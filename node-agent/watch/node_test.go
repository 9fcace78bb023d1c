package watch

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	fcache "k8s.io/client-go/tools/cache/testing"
)

func nodeObject(labels map[string]string, addresses ...corev1.NodeAddress) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: labels},
		Status: corev1.NodeStatus{Addresses: addresses, Images: []corev1.ContainerImage{{Names: []string{"long"}}}}}
}

func internal(address string) corev1.NodeAddress {
	return corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: address}
}

func samePlace(a, b Place) bool { return a.equal(b) }

// TestNode follows a Node through what can happen to it. The source is a fake: what counts is which events are told.
func TestNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := fcache.NewFakeControllerSource()
		changes := 0
		n, err := newNodeFromSource(source, func() { changes++ })
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { n.Run(ctx); close(done) }()
		defer func() { cancel(); <-done; source.Shutdown() }()
		synctest.Wait()
		if place, known := n.Place(); known {
			t.Fatalf("knows %v of a Node that is not there", place)
		}
		rack, v4, v6 := map[string]string{"topology.multinet.dev/rack": "r1"}, internal("192.0.2.1"), internal("2001:db8::1")
		hostname := corev1.NodeAddress{Type: corev1.NodeHostName, Address: "n1"}
		for _, step := range []struct {
			name    string
			do      func()
			want    Place
			changes int
		}{
			{"appears", func() { source.Add(nodeObject(nil)) }, Place{}, 1},
			{"gets an address", func() { source.Modify(nodeObject(nil, hostname, v4, v6)) }, Place{Address: netip.MustParseAddr("192.0.2.1")}, 2},
			{"gets a rack", func() { source.Modify(nodeObject(rack, v4)) }, Place{rack, netip.MustParseAddr("192.0.2.1")}, 3},
			{"tells the same again", func() { source.Modify(nodeObject(rack, v4, hostname)) }, Place{rack, netip.MustParseAddr("192.0.2.1")}, 3},
			{"prefers IPv6", func() { source.Modify(nodeObject(rack, v6, v4)) }, Place{rack, netip.MustParseAddr("2001:db8::1")}, 4},
			{"loses the rack", func() { source.Modify(nodeObject(nil, v6)) }, Place{Address: netip.MustParseAddr("2001:db8::1")}, 5},
			{"has nonsense", func() { source.Modify(nodeObject(nil, internal("here"), v4)) }, Place{}, 6},
			{"is in the rack again", func() { source.Modify(nodeObject(rack, v4)) }, Place{rack, netip.MustParseAddr("192.0.2.1")}, 7},
			{"is deleted", func() { source.Delete(nodeObject(rack, v4)) }, Place{rack, netip.MustParseAddr("192.0.2.1")}, 7},
			{"comes back elsewhere", func() { source.Add(nodeObject(nil, v4)) }, Place{Address: netip.MustParseAddr("192.0.2.1")}, 8},
		} {
			step.do()
			synctest.Wait()
			got, known := n.Place()
			if diff := cmp.Diff(step.want, got, cmp.Comparer(samePlace)); !known || diff != "" {
				t.Errorf("%s: known %v (-want +got):\n%s", step.name, known, diff)
			}
			if changes != step.changes {
				t.Errorf("%s: told of %d changes, want %d", step.name, changes, step.changes)
			}
		}
		stored := n.informer.GetStore().List()
		if len(stored) != 1 || len(stored[0].(*corev1.Node).Status.Images) != 0 {
			t.Errorf("the cache holds %v, want one Node without its images", stored)
		}
	})
}

func TestWaitKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, err := newNodeFromSource(&cache.ListWatch{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 2)
		go func() { waited <- n.WaitKnown(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-waited:
			t.Fatalf("returned with %v before the Node was known", err)
		default:
		}
		n.set(nodeObject(nil))
		if err := <-waited; err != nil {
			t.Error(err)
		}

		unknown, err := newNodeFromSource(&cache.ListWatch{}, func() {})
		if err != nil {
			t.Fatal(err)
		}
		go func() { waited <- unknown.WaitKnown(ctx) }()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	})
}
