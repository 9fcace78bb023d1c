package sandboxes

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// What the driver refuses of a class is in the ledger before the pod starts, where an agent that starts later finds it.
func TestRefusedClass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		order := vfOrder()
		order.Spec.QoS = &v1alpha1.ResolvedQoS{ClassName: "gold", QoSClassSpec: v1alpha1.QoSClassSpec{
			Egress: &v1alpha1.Bandwidth{Guaranteed: resource.NewQuantity(100e6, resource.DecimalSI)}}}
		refusals := map[string]string{"egress.guaranteed": "the driver refuses it"}
		w := newWorld(t)
		w.set(func() { w.vf.refusals = refusals })
		w.keeper.Synchronize(nil)
		w.order(order)
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff(refusals, w.recorded(box.PodUID)[0].VF.QoS.Told.Refused); diff != "" {
			t.Errorf("the ledger: %s", diff)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), vfBox()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if diff := cmp.Diff(refusals, w.reports[len(w.reports)-1].Interfaces[0].Plan.VF.QoS.Told.Refused); diff != "" {
			t.Errorf("reported: %s", diff)
		}
		// The kubelet asks again while the sandbox has the VF, which is not configured anew then.
		w.set(func() { w.vf.refusals = nil })
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(refusals, w.recorded(box.PodUID)[0].VF.QoS.Told.Refused); diff != "" {
			t.Errorf("after another Prepare the ledger: %s", diff)
		}
	})
}

// goldVF asks for a class whose maximum is given in Mbit/s, of a VF.
func goldVF(maximum int64) *v1alpha1.PodNetworkAttachment {
	order := vfOrder()
	order.Spec.QoS = goldOrder(maximum).Spec.QoS
	return order
}

// A changed class reaches the card of a running pod, the ledger and the API server, and a card that could not be told is told later.
func TestVFClassChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.keeper.Synchronize(nil)
		w.order(goldVF(20))
		if err := w.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		w.namespace(box.NetNS)
		if err := w.keeper.RunSandbox(t.Context(), vfBox()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := func(what string, rate int) {
			t.Helper()
			if got := w.seen().state.MaxTxRate; got != rate {
				t.Errorf("%s: the card has %d Mbit/s, want %d", what, got, rate)
			}
			if diff := cmp.Diff(&plan.QoSReport{Egress: plan.Bandwidth{Maximum: uint64(rate) * 1_000_000}}, w.lastQoS()); diff != "" {
				t.Errorf("%s: reported (-want +got)\n%s", what, diff)
			}
			recorded := w.recorded(box.PodUID)[0]
			if recorded.VF.QoS.Told == nil || recorded.VF.QoS.Told.MaxTxRate != rate || recorded.Before == nil || recorded.Before.MaxTxRate != 0 {
				t.Errorf("%s: the ledger has %+v, before %+v", what, recorded.VF.QoS, recorded.Before)
			}
		}
		want("at the start", 20)
		begin := time.Now()
		w.order(goldVF(50))
		synctest.Wait()
		want("after a change", 50)
		if took := time.Since(begin); took > time.Second {
			t.Errorf("a change took %s", took)
		}
		w.set(func() { w.vf.qualifyError = errRefused })
		w.order(goldVF(70))
		synctest.Wait()
		if r := w.lastQoS(); len(r.Missing) != 1 || r.Missing[0].Reason != v1alpha1.ReasonQoSFailed {
			t.Errorf("a card that could not be told: reported %+v", r)
		}
		w.set(func() { w.vf.qualifyError = nil })
		time.Sleep(verifyEvery)
		synctest.Wait()
		want("told later", 70)
		if mistakes := w.seen().mistakes; len(mistakes) > 0 {
			t.Error(mistakes)
		}
	})
}

// The ledger says that a card was told when it was: an agent that starts in between tells it.
func TestVFClassAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newWorld(t)
		first.keeper.Synchronize(nil)
		first.order(goldVF(20))
		if err := first.keeper.Prepare(t.Context(), vfRequest()); err != nil {
			t.Fatal(err)
		}
		first.namespace(box.NetNS)
		if err := first.keeper.RunSandbox(t.Context(), vfBox()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		first.set(func() { first.vf.qualifyError = errRefused })
		first.order(goldVF(50))
		synctest.Wait()
		second := newWorld(t, first.ledger[box.PodUID])
		second.namespace(box.NetNS)
		second.set(func() { second.links[box.NetNS]["net1"] = true })
		second.order(goldVF(50))
		second.keeper.Synchronize([]Sandbox{vfBox()})
		synctest.Wait()
		if got := second.seen().state.MaxTxRate; got != 50 {
			t.Errorf("the card has %d Mbit/s", got)
		}
		if told := second.recorded(box.PodUID)[0].VF.QoS.Told; told == nil || told.MaxTxRate != 50 {
			t.Errorf("the ledger has %+v", told)
		}
	})
}
