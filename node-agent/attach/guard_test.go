package attach

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// recordedGuards tells what was asked of it; has are the interfaces with a program.
type recordedGuards struct {
	calls []string
	has   map[string]bool
	// free is an interface that needs none.
	free string
	// namespace is the inode of the one that the last call was made in.
	namespace uint64
}

func (g *recordedGuards) called(what string, p plan.Attachment) {
	g.calls = append(g.calls, what+" "+p.Interface)
	var stat unix.Stat_t
	if unix.Stat("/proc/thread-self/ns/net", &stat) == nil {
		g.namespace = stat.Ino
	}
}

func (g *recordedGuards) Needed(p plan.Attachment) bool { return p.Interface != g.free }

func (g *recordedGuards) Guard(p plan.Attachment, index int) {
	g.called("guard", p)
	g.has[p.Interface] = index > 0
}

func (g *recordedGuards) Guarded(p plan.Attachment, _ int) bool {
	g.called("look at", p)
	return g.has[p.Interface]
}

func TestGuards(t *testing.T) {
	w, guards := newWorld(t), &recordedGuards{has: map[string]bool{}}
	w.attacher = New(Options{NodeNamespace: w.node.Path(), Guards: guards})
	pod := w.pod()
	guard := func(pod *kernel.Namespace) {
		t.Helper()
		w.must(w.attacher.Guard(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}))
	}
	w.attach(pod, storage(), backup())
	guard(pod)
	w.check(pod, storage(), backup())
	want := []string{"guard net1", "guard net2", "look at net1", "look at net2"}
	if diff := cmp.Diff(want, guards.calls); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	var stat unix.Stat_t
	w.must(unix.Stat(pod.Path(), &stat))
	if guards.namespace != stat.Ino {
		t.Error("it was not called in the pod's namespace")
	}
	// One that is missing is found, and made by the repair that follows.
	guards.has["net2"] = false
	err := w.attacher.Check(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()})
	var failed *Error
	if !errors.As(err, &failed) || failed.Interface != "net2" {
		t.Errorf("error %v, want one about net2", err)
	}
	guard(pod)
	w.check(pod, storage(), backup())
	// One that needs none gets none, and an interface that is gone meanwhile is nobody's trouble.
	guards.calls, guards.free = nil, "net1"
	guard(w.pod())
	guard(pod)
	if diff := cmp.Diff([]string{"guard net2"}, guards.calls); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A pod of a slow class hands over less at once, from the first packet on.
func TestGSOMaxSize(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	p := storage()
	p.GSOMaxSize = 16384
	w.attach(pod, p, backup())
	for name, want := range map[string]uint32{"net1": 16384, "net2": 65536} {
		if size := kerneltest.GSOMaxSize(t, pod, name); size != want {
			t.Errorf("%s takes %d bytes at once, want %d", name, size, want)
		}
	}
}
