package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

var steps = []Step{StepUplink, StepLink, StepUp, StepAddresses, StepRoutes, StepDone}

// at calls do ahead of one step of one interface.
func at(iface string, s Step, do func() error) func(string, string, Step) error {
	return func(_, i string, now Step) error {
		if i == iface && now == s {
			return do()
		}
		return nil
	}
}

// eachStep runs a subtest for each step of each of the two interfaces.
func eachStep(t *testing.T, test func(t *testing.T, iface string, s Step)) {
	for _, iface := range []string{"net1", "net2"} {
		for _, s := range steps {
			t.Run(fmt.Sprintf("%s/%s", iface, s), func(t *testing.T) { test(t, iface, s) })
		}
	}
}

func TestUndo(t *testing.T) {
	w := newWorld(t)
	eachStep(t, func(t *testing.T, iface string, s Step) {
		pod := w.pod()
		before := w.state(pod)
		boom := errors.New("boom")
		a := w.newAttacher()
		a.before = at(iface, s, func() error { return boom })

		_, err := a.Attach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()})
		var failed *Error
		if !errors.As(err, &failed) || failed.Interface != iface || failed.Step != s || !errors.Is(err, boom) {
			t.Fatalf("error %v, want one of step %q of %s", err, s, iface)
		}
		w.wantState(pod, before)
	})
}

// What comes after a failure is not attempted.
func TestFirstFailureEndsTheAttach(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	a := w.newAttacher()
	a.before = func(_, iface string, s Step) error {
		if iface == "net2" {
			t.Errorf("step %q of net2 was taken", s)
		}
		if s == StepAddresses {
			return errors.New("boom")
		}
		return nil
	}
	if _, err := a.Attach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}); err == nil {
		t.Fatal("no error")
	}
}

func TestUndoKeepsWhatWasThere(t *testing.T) {
	w := newWorld(t)
	pod := w.pod()
	w.attach(pod, storage())
	before := w.state(pod)
	a := w.newAttacher()
	a.before = at("net2", StepRoutes, func() error { return errors.New("boom") })
	if _, err := a.Attach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}); err == nil {
		t.Fatal("no error")
	}
	w.wantState(pod, before)
}

// A hook that has overrun its time stops at the next step and takes back what it made.
func TestContextEnds(t *testing.T) {
	w := newWorld(t)
	eachStep(t, func(t *testing.T, iface string, s Step) {
		pod := w.pod()
		before := w.state(pod)
		ctx, cancel := context.WithCancel(t.Context())
		a := w.newAttacher()
		a.before = at(iface, s, func() error { cancel(); return nil })
		_, err := a.Attach(ctx, pod.Path(), []plan.Attachment{storage(), backup()})
		if last := iface == "net2" && s == StepDone; last {
			w.must(err) // nothing was left to do
			return
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v, want that of the context", err)
		}
		w.wantState(pod, before)
	})
}

const (
	killedAt = "MULTINET_TEST_KILLED_AT"
	killedIn = "MULTINET_TEST_KILLED_IN"
)

// TestKilled lets another process attach and kill itself at each step; then this one repairs what it left.
func TestKilled(t *testing.T) {
	w := newWorld(t)
	eachStep(t, func(t *testing.T, iface string, s Step) {
		pod := w.pod()
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledChild$")
		child.Env = append(os.Environ(), killedAt+"="+iface+"/"+string(s), killedIn+"="+w.node.Path()+","+pod.Path())
		output, err := child.CombinedOutput()
		if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("the child was not killed: %v\n%s", err, output)
		}
		w.attach(pod, storage(), backup())
		w.check(pod, storage(), backup())
		if s == StepUp && iface == "net1" {
			w.wantQuiet(pod, "net1")
		}
		w.must(w.attacher.Detach(t.Context(), pod.Path(), []plan.Attachment{storage(), backup()}))
	})
}

func TestKilledChild(t *testing.T) {
	iface, s, ok := strings.Cut(os.Getenv(killedAt), "/")
	if !ok {
		return // not a child
	}
	node, pod, _ := strings.Cut(os.Getenv(killedIn), ",")
	a := New(Options{NodeNamespace: node})
	a.before = at(iface, Step(s), func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	_, err := a.Attach(t.Context(), pod, []plan.Attachment{storage(), backup()})
	t.Fatalf("the child was not killed, and attached with error %v", err)
}

func TestUnwind(t *testing.T) {
	var order []string
	var u undoStack
	for _, name := range []string{"first", "second", "third"} {
		u.push(name, func() error {
			order = append(order, name)
			if name == "second" {
				return plumb.ErrNameTaken
			}
			return nil
		})
	}
	cause := &Error{Network: "storage", Interface: "net1", Step: StepUp, Err: errors.New("cause")}
	err := u.unwind(cause)
	if got := strings.Join(order, " "); got != "third second first" {
		t.Errorf("order %q, want the last first and none left out", got)
	}
	var typed *Error
	if !errors.As(err, &typed) || !errors.Is(err, plumb.ErrNameTaken) {
		t.Errorf("error %v, want the cause and what could not be undone", err)
	}
}
