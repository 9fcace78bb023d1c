package overlay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// many are attachments of other nodes, ten on each.
func many(n int) (list []*v1alpha1.PodNetworkAttachment) {
	for i := range n {
		list = append(list, attachment(fmt.Sprint("many-", i), fmt.Sprint("node-", i/10), fmt.Sprintf("172.19.%d.%d", i/10/250, 1+i/10%250),
			fmt.Sprintf("02:01:00:00:%02x:%02x", i>>8, i&255), fmt.Sprintf("10.2.%d.%d/16", i>>8, i&255)))
	}
	return list
}

func TestEnsureGoesInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(remote(), attachment("here", self, "172.18.0.2", "02:00:00:00:00:0b", "10.1.0.11/24"))
		w.ensure()
		if diff := cmp.Diff([]string{"guards", "link 5000", "entries +3 -0"}, w.told()); diff != "" {
			t.Error(diff)
		}
		w.right()
		w.ensure()
		if told := w.told(); told != nil {
			t.Errorf("again, for nothing: %v", told)
		}
	})
}

// Many pods that start at once share one watch and few looks at the kernel.
func TestEnsuresShareTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(many(50)...)
		w.takes = time.Millisecond
		var pods sync.WaitGroup
		for range 30 {
			pods.Go(func() {
				if err := w.manager.Ensure(t.Context(), rack1); err != nil {
					t.Error(err)
				}
			})
		}
		pods.Wait()
		if n := w.counted(); n.watched != 1 || n.dumps != 1 || n.ensured > 3 {
			t.Errorf("counted %+v", n)
		}
		w.right()
	})
}

// Ensure waits for what the API server has not told of yet.
func TestEnsureWaitsForTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(remote())
		w.set(func() { w.up = false })
		go func() { time.Sleep(10*time.Second - time.Millisecond); w.set(func() { w.up = true }) }()
		begin := time.Now()
		w.ensure()
		if took := time.Since(begin); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("took %s", took)
		}
		w.right()
	})
}

func TestEnsureTellsWhatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		set  func(*world)
		want string
	}{
		"no API server": {func(w *world) { w.up = false }, `network "rack" rack "r1": list the PodNetworkAttachments of the rack: connection refused`},
		"guard":         {func(w *world) { w.fail["guard"] = errors.New("no nftables") }, `network "rack" rack "r1": admit the rack's nodes: no nftables`},
		"link":          {func(w *world) { w.fail["link"] = errors.New("VNI taken") }, `network "rack" rack "r1": make the VXLAN link: VNI taken`},
		"dump":          {func(w *world) { w.fail["dump"] = errors.New("interrupted") }, `network "rack" rack "r1": program the pods of other nodes: interrupted`},
		"entries":       {func(w *world) { w.fail["entries"] = errors.New("no memory") }, `network "rack" rack "r1": program the pods of other nodes: no memory`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.write(remote())
				w.set(func() { test.set(w) })
				ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
				defer cancel()
				err := w.manager.Ensure(ctx, rack1)
				var typed *Error
				if !errors.As(err, &typed) || err.Error() != test.want {
					t.Errorf("error %v, want %s", err, test.want)
				}
				// Whoever waits when it ends is told at once or nearly.
				w.set(func() { w.up = true; clear(w.fail) })
				begin := time.Now()
				w.ensure()
				if took := time.Since(begin); took > time.Second {
					t.Errorf("took %s after the failure ended", took)
				}
				w.right()
			})
		})
	}
}

// What fails is tried again without anybody waiting for it.
func TestFailuresEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ensure()
		w.set(func() { w.fail["entries"] = errors.New("no memory") })
		w.write(remote())
		time.Sleep(30 * time.Second)
		if tries := len(w.told()); tries > 15 {
			t.Errorf("%d tries in 30 s", tries)
		}
		w.set(func() { clear(w.fail) })
		time.Sleep(retryMost)
		w.right()
	})
}

// One event goes to the kernel at once, a burst of them in few batches, and neither reads the kernel.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(many(20)...)
		w.ensure()
		time.Sleep(time.Second)
		w.told()
		dumps := w.counted().dumps
		w.write(remote())
		synctest.Wait() // no time passes
		if diff := cmp.Diff([]string{"member +1 -0", "entries +3 -0"}, w.told()); diff != "" {
			t.Errorf("one pod comes: %s", diff)
		}
		w.right()
		time.Sleep(time.Second)
		w.delete(remote())
		synctest.Wait()
		if diff := cmp.Diff([]string{"entries +0 -3", "member +0 -1"}, w.told()); diff != "" {
			t.Errorf("one pod goes: %s", diff)
		}
		w.right()
		for _, pna := range many(1000) {
			w.write(pna)
			time.Sleep(10 * time.Microsecond)
		}
		time.Sleep(2 * gather)
		if told, n := w.told(), w.counted(); len(told) > 20 || n.dumps != dumps {
			t.Errorf("a burst of 1000 in 10 ms took %d requests and %d dumps: %v", len(told), n.dumps-dumps, told)
		}
		w.right()
	})
}

// A status is none of an overlay's business.
func TestEventsOfNoInterest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(remote())
		w.ensure()
		time.Sleep(time.Second)
		w.told()
		told := remote()
		told.Status.SandboxID, told.ResourceVersion = "box", "7"
		w.write(told)
		time.Sleep(time.Second)
		if log := w.told(); log != nil {
			t.Errorf("told the kernel %v", log)
		}
	})
}

// What others change in the kernel is repaired.
func TestReconciles(t *testing.T) {
	for name, meddle := range map[string]func(*world){
		"entries removed": func(w *world) { w.fib = newFIB() },
		"an entry added": func(w *world) {
			w.fib.add(plumb.Entry{MAC: plumb.MAC{2, 9}, Via: netip.MustParseAddr("172.18.0.9")})
		},
		"an address changed": func(w *world) { w.fib.addrs[netip.MustParseAddr("10.1.0.10")] = plumb.MAC{2, 9} },
		"guards flushed":     func(w *world) { clear(w.guards) },
		"a member added": func(w *world) {
			w.guards[5000] = plumb.Guard{VNI: 5000, Port: 4789, Members: []netip.Addr{netip.MustParseAddr("172.18.0.9")}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.write(remote())
				w.ensure()
				w.set(func() { meddle(w) })
				time.Sleep(reconcileEvery + time.Second)
				w.right()
				if w.counted().remade != 0 {
					t.Error("pods are told that their links are gone")
				}
			})
		})
	}
}

func TestLinkIsRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(remote())
		w.ensure()
		time.Sleep(time.Second)
		w.manager.LinkChanged("mnvx5001")
		synctest.Wait()
		if w.counted().ensured != 1 {
			t.Error("the link is looked at because some other one changed")
		}
		w.manager.LinkChanged("")
		time.Sleep(time.Second)
		if n := w.counted(); n.ensured != 2 || n.remade != 0 {
			t.Errorf("when changes were missed: %+v", n)
		}
		w.set(func() { w.link, w.fib = 0, newFIB() })
		w.manager.LinkChanged("mnvx5000")
		time.Sleep(2 * gather)
		w.right()
		if n := w.counted(); n.remade != 1 {
			t.Errorf("the pods' links were told to be gone: %+v", n)
		}
	})
}

// An agent that starts leaves alone what is right, whatever the order in which the API server tells.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(append(many(100), remote())...)
		w.ensure()
		w.end()
		other := plan.Overlay{Network: "rack", Rack: "r2", VNI: 5001, Port: 4789, Local: rack1.Local}
		w.set(func() {
			w.guards[5001] = plumb.Guard{VNI: 5001, Port: 4789, Members: []netip.Addr{netip.MustParseAddr("172.18.0.7")}}
			w.guards[6000] = plumb.Guard{VNI: 6000, Port: 4789}
		})
		w.restart()
		w.set(func() { w.up = false; w.log = nil })
		w.manager.Start([]plan.Overlay{rack1, other})
		time.Sleep(10 * time.Second)
		if told := w.told(); told != nil {
			t.Errorf("before the API server answers: %v", told)
		}
		// Only the first rack is listed; the other's members can send all the same.
		w.set(func() { w.manager.segments[identity(other)].cancel() })
		<-w.manager.segments[identity(other)].ended
		w.set(func() { w.up = true })
		w.ensure()
		if diff := cmp.Diff([]string{"guards"}, w.told()); diff != "" {
			t.Errorf("only the guard that nobody needs goes: %s", diff)
		}
		w.right()
		if _, there := w.guards[6000]; there || len(w.guards[5001].Members) != 1 {
			t.Errorf("guards %v", w.guards)
		}
	})
}

func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write(remote())
		w.ensure()
		w.manager.Keep(func() ([]plan.Overlay, bool) { return nil, false })
		w.manager.Keep(planned(rack1))
		w.right()
		w.manager.Keep(planned())
		if len(w.watchers) != 0 || len(w.guards) != 0 || len(w.manager.segments) != 0 {
			t.Errorf("left: %d watches, guards %v, %d overlays", len(w.watchers), w.guards, len(w.manager.segments))
		}
		w.told()
		// The link is removed by others; nobody makes it again.
		w.set(func() { w.link = 0 })
		w.manager.LinkChanged("mnvx5000")
		w.write(many(3)...)
		time.Sleep(2 * reconcileEvery)
		if told := w.told(); told != nil {
			t.Errorf("after its end: %v", told)
		}
		w.ensure()
		w.right()
	})
}

// Who waits for an overlay that ends is told.
func TestKeepWhileSomebodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.set(func() { w.up = false })
		go func() { time.Sleep(time.Second); w.manager.Keep(planned()) }()
		if err := w.manager.Ensure(t.Context(), rack1); !errors.Is(err, errStopped) {
			t.Errorf("error %v", err)
		}
	})
}

func TestVNIOfAnotherRack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ensure()
		other := rack1
		other.Network = "new"
		err := w.manager.Ensure(t.Context(), other)
		if err == nil || !strings.Contains(err.Error(), `VNI 5000 is that of network "rack" rack "r1"`) {
			t.Errorf("error %v", err)
		}
		w.manager.Keep(planned(other))
		if err := w.manager.Ensure(t.Context(), other); err != nil {
			t.Error(err)
		}
	})
}

// The node's address changes: plans of before and after name another one each. The one that works is used.
func TestNodeAddressChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.ensure()
		moved := rack1
		moved.Local = netip.MustParseAddr("172.18.0.77")
		if err := w.manager.Ensure(t.Context(), moved); err != nil || w.counted().watched != 1 {
			t.Errorf("error %v, counted %+v", err, w.counted())
		}
		w.set(func() { w.fail["link from 172.18.0.2"] = errors.New("no interface has 172.18.0.2") })
		begin := time.Now()
		if err := w.manager.Ensure(t.Context(), moved); err != nil || w.counted().watched != 2 || time.Since(begin) > 3*time.Second {
			t.Errorf("error %v, counted %+v, after %s", err, w.counted(), time.Since(begin))
		}
		if err := w.manager.Ensure(t.Context(), rack1); err != nil || w.counted().watched != 2 {
			t.Errorf("a pod of before: error %v, counted %+v", err, w.counted())
		}
		w.manager.Keep(planned(rack1, moved))
		if len(w.manager.segments) != 1 || len(w.watchers) != 1 {
			t.Errorf("%d overlays, %d watches", len(w.manager.segments), len(w.watchers))
		}
	})
}

// Whatever happens in whatever order, the kernel is right in the end.
func TestEverythingAtOnce(t *testing.T) {
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			w, random := newWorld(t), rand.New(rand.NewPCG(seed, 0))
			all := append(many(30), remote())
			acts := []func(){
				func() { w.write(all[random.IntN(len(all))]) },
				func() { w.write(all[random.IntN(len(all))]) },
				func() { w.delete(all[random.IntN(len(all))]) },
				func() { m := w.manager; go func() { _ = m.Ensure(t.Context(), rack1) }() },
				func() { w.manager.Keep(planned()) },
				func() { w.set(func() { w.link, w.fib = 0, newFIB() }); w.manager.LinkChanged("mnvx5000") },
				func() {
					w.set(func() { w.fail[[]string{"guard", "link", "dump", "entries"}[random.IntN(4)]] = errors.New("x") })
				},
				func() { w.set(func() { clear(w.fail) }) },
				func() { w.set(func() { w.up = !w.up }) },
				func() { w.end(); w.restart(); w.manager.Start([]plan.Overlay{rack1}) },
				func() { time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) },
			}
			for range 150 {
				acts[random.IntN(len(acts))]()
			}
			w.set(func() { clear(w.fail); w.up = true })
			w.ensure()
			time.Sleep(2 * gather)
			w.right()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

func TestErrorOfPlumbIsKept(t *testing.T) {
	err := newError(rack1, StepLink, plumb.ErrNoVXLANSupport)
	if !errors.Is(err, plumb.ErrNoVXLANSupport) || !slices.Contains([]Step{StepList, StepGuard, StepLink, StepEntries}, err.Step) {
		t.Error(err)
	}
}
