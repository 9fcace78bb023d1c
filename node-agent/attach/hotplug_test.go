package attach

import (
	"errors"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// arp returns arp_ignore and arp_announce of an interface.
func (w *world) arp(pod *kernel.Namespace, iface string) (ignore, announce string) {
	w.t.Helper()
	kerneltest.Inside(w.t, pod, func() (err error) {
		var err1, err2 error
		ignore, err1 = kernel.Proc("").ReadNet("ipv4/conf/" + iface + "/arp_ignore")
		announce, err2 = kernel.Proc("").ReadNet("ipv4/conf/" + iface + "/arp_announce")
		return errors.Join(err1, err2)
	})
	return ignore, announce
}

// TestSecondInterfaceComesLater: an interface that was alone need not be strict about ARP, and must be from then on.
func TestSecondInterfaceComesLater(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	w.attach(pod, storage())
	if ignore, _ := w.arp(pod, "net1"); ignore != "0" {
		t.Fatalf("alone, arp_ignore is %s", ignore)
	}
	first := w.state(pod)
	w.attach(pod, storage(), backup())
	for _, iface := range []string{"net1", "net2"} {
		if ignore, announce := w.arp(pod, iface); ignore != "1" || announce != "2" {
			t.Errorf("%s: arp_ignore %s, arp_announce %s", iface, ignore, announce)
		}
	}
	w.check(pod, storage(), backup())
	w.must(w.attacher.RemoveLinks(t.Context(), pod.Path(), []plan.Attachment{backup()}))
	w.check(pod, storage())
	w.wantState(pod, first)
}
