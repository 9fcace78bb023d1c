package attach

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

func TestDetach(t *testing.T) {
	w := newWorld(t)
	for name, attachments := range map[string][]plan.Attachment{
		"all":        {storage(), backup()},
		"one of two": {storage()},
	} {
		t.Run(name, func(t *testing.T) {
			pod := w.pod()
			before := w.state(pod)
			w.attach(pod, storage(), backup())
			w.must(w.attacher.Detach(t.Context(), pod.Path(), attachments))
			if len(attachments) == 1 {
				w.check(pod, backup())
				w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{backup()}))
			}
			w.wantState(pod, before)
			w.must(w.attacher.Detach(t.Context(), pod.Path(), attachments))
		})
	}
}

// After the first half another pod on another node can have the addresses; the links are still there.
func TestReleaseAddresses(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	w.attach(pod, storage(), backup())
	w.must(w.attacher.ReleaseAddresses(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}))
	now := w.state(pod)
	for _, link := range now.Links {
		if link.Ours && len(now.Addresses[link.Index]) > 0 {
			t.Errorf("%s still has %v", link.Name, now.Addresses[link.Index])
		}
	}
	if names := linkNames(now.Links); !slices.Equal(names, []string{"eth0", "lo", "net1", "net2"}) {
		t.Errorf("links %v, want all to be there still", names)
	}
	// A pod that lives on gets them back.
	w.attach(pod, storage(), backup())
	w.check(pod, storage(), backup())
}

func TestDetachLeavesForeignLinks(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	kerneltest.Cable(t, pod, "net1", w.machine, "foreign")
	kerneltest.Address(t, pod, "net1", "10.20.0.5/24")
	before := w.state(pod)
	w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}))
	w.wantState(pod, before)
}

func TestNamespaceVanished(t *testing.T) {
	w := newWorld(t)
	gone := t.TempDir() + "/gone"
	emptied := t.TempDir() + "/emptied"
	w.must(os.WriteFile(emptied, nil, 0o600))
	pod := w.pod()
	w.attach(pod, storage())
	w.must(kerneltest.RemoveNamespace(pod.Path()))
	for _, path := range []string{gone, emptied, pod.Path()} {
		w.must(w.attacher.Detach(t.Context(), path, []plan.Attachment{storage()}))
		_, err := w.attacher.Attach(t.Context(), path, []plan.Attachment{storage()})
		if !errors.Is(err, kernel.ErrNamespaceGone) {
			t.Errorf("attach in %s: %v, want that the namespace is gone", path, err)
		}
		if err := w.attacher.Check(t.Context(), path, []plan.Attachment{storage()}); !errors.Is(err, kernel.ErrNamespaceGone) {
			t.Errorf("check in %s: %v, want that the namespace is gone", path, err)
		}
	}
	// The kernel removes the macvlan with its namespace, so that the MAC is free for the next sandbox.
	w.must(pod.Close())
	next := w.pod()
	w.attach(next, storage())
	link, found, err := plumb.FindLink(next, "net1")
	if err != nil || !found || !link.Up {
		t.Errorf("link %+v, %v", link, err)
	}
}
