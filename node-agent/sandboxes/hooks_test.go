package sandboxes

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// prepared returns a world in which the pod is about to start.
func prepared(t *testing.T, change func(*world)) *world {
	w := newWorld(t)
	change(w)
	w.keeper.Synchronize(nil)
	w.order(attachmentOrder())
	if err := w.keeper.Prepare(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	w.namespace(box.NetNS)
	return w
}

// All pods of a node wait for a hook, those without networks as well. None may wait for longer than hookWait for
// anything that is not the hook's own work, and what is left of it is the patience of the attach.
func TestHooksWaitLittle(t *testing.T) {
	const slow = hookWait - 100*time.Millisecond
	for name, test := range map[string]struct {
		probe    time.Duration
		clearing time.Duration
		want     string
		wantTook time.Duration
	}{
		"nothing to wait for":               {wantTook: 0},
		"the probe hangs":                   {probe: probeLimit, want: "no result yet", wantTook: hookWait},
		"former links stay":                 {clearing: time.Minute, want: "former sandbox still has its links", wantTook: hookWait},
		"one after the other":               {probe: slow, clearing: hookWait + time.Millisecond, want: "former sandbox", wantTook: hookWait},
		"former links go, the MAC does not": {clearing: slow, want: "in use", wantTook: hookWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := prepared(t, func(w *world) { w.probeTakes, w.waitsForMAC = test.probe, test.want == "in use" })
				if test.clearing != 0 {
					c := w.keeper.state.clear("pod")
					go func() { time.Sleep(test.clearing); w.keeper.state.clearedAll("pod", c) }()
				}
				begin := time.Now()
				err := w.keeper.RunSandbox(t.Context(), box)
				if took := time.Since(begin); took != test.wantTook {
					t.Errorf("the hook took %s, want %s", took, test.wantTook)
				}
				if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("error %v, want %q", err, test.want)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

// A sandbox is stopped while a verification of it waits for the API server: the hook does not, and the addresses go
// as soon as the verification has ended.
func TestStopDuringOtherWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := started(t)
		e, _ := w.keeper.state.entry(box.ID)
		if err := e.acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.order(deletedOrder())
		begin := time.Now()
		w.keeper.StopSandbox(t.Context(), box)
		if took := time.Since(begin); took != hookWait {
			t.Errorf("the hook took %s, want %s", took, hookWait)
		}
		time.Sleep(time.Minute)
		if got := w.releases(); got != nil {
			t.Errorf("released %v while work on the sandbox is under way", got)
		}
		e.release()
		synctest.Wait()
		if got := w.releases(); len(got) != 1 || w.interfaces(box.NetNS) != 0 {
			t.Errorf("released %v, %d links stay", got, w.interfaces(box.NetNS))
		}
	})
}

// The check before each container waits even less.
func TestCheckWaitsLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, plan.Pod{UID: "pod"})
		w.set(func() { w.listedAt = time.Now().Add(time.Minute) })
		w.namespace(box.NetNS)
		w.keeper.Synchronize([]Sandbox{box})
		synctest.Wait()
		begin := time.Now()
		_, err := w.keeper.CheckSandbox(t.Context(), box)
		if took := time.Since(begin); err == nil || took > hookWait {
			t.Errorf("error %v after %s", err, took)
		}
		time.Sleep(2 * time.Minute)
	})
}

// A hook was so late that the runtime has disconnected and gone on with the pod. The runtime lists the sandbox before the hook's end
// forgets it; the pod's containers wait, and start in the end.
func TestSandboxOfALateHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := prepared(t, func(w *world) { w.attachTakes = 3 * time.Second })
		go w.keeper.Run(t.Context())
		if err := w.keeper.RunSandbox(t.Context(), box); err == nil {
			t.Error("a hook that is late succeeds")
		}
		w.keeper.Disconnected()
		w.keeper.Synchronize([]Sandbox{box})
		time.Sleep(2 * time.Second)
		w.set(func() { w.attachTakes = 0 })
		if e, _ := w.keeper.state.entry(box.ID); e != nil {
			t.Fatal("the hook's end has not forgotten the sandbox: nothing is tested here")
		}
		if _, err := w.keeper.CheckSandbox(t.Context(), box); err == nil {
			t.Error("a container starts in a sandbox that is not attached")
		}
		time.Sleep(time.Second)
		if _, err := w.keeper.CheckSandbox(t.Context(), box); err != nil || w.interfaces(box.NetNS) != 1 {
			t.Errorf("the sandbox has %d interfaces, its container: %v", w.interfaces(box.NetNS), err)
		}
	})
}

// An admin who has the runtime wait longer on a slow node is heeded; a call is never longer than one over CNI.
func TestHookEndsBeforeTheRuntimeDoes(t *testing.T) {
	for name, test := range map[string]struct {
		runtime, takes, want time.Duration
		attached             bool
	}{
		"usual, in time":          {runtime: 2 * time.Second, takes: time.Second, want: time.Second, attached: true},
		"usual, late":             {runtime: 2 * time.Second, takes: 3 * time.Second, want: 1500 * time.Millisecond},
		"a patient runtime":       {runtime: 8 * time.Second, takes: 5 * time.Second, want: 5 * time.Second, attached: true},
		"the patience has an end": {runtime: time.Minute, takes: 20 * time.Second, want: callLimit},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := prepared(t, func(w *world) { w.attachTakes, w.probeTakes = test.takes, 0 })
				ctx, cancel := context.WithTimeout(t.Context(), test.runtime)
				defer cancel()
				begin := time.Now()
				err := w.keeper.RunSandbox(ctx, box)
				if took := time.Since(begin); took != test.want || (err == nil) != test.attached {
					t.Errorf("the hook took %s, want %s: %v", took, test.want, err)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}
