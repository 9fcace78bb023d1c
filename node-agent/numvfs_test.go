package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

func TestVFCounts(t *testing.T) {
	var calls, logged []string
	var refusal error
	known, present := false, false
	c := &vfCounts{
		log:    funcr.New(func(_, args string) { logged = append(logged, args) }, funcr.Options{}),
		config: inventory.Config{VFs: []inventory.VFConfig{{PF: "ens1f0", NumVFs: 4, NodeSelector: map[string]string{"nfv": "true"}}, {PF: "ens1f1", NumVFs: 2}}},
		place:  func() (watch.Place, bool) { return watch.Place{Labels: map[string]string{"nfv": "true"}}, known },
		has:    func(pf string) bool { return pf == "ens1f0" && present },
		change: func(do func([]string) error) error { return do([]string{"0000:01:10.0"}) },
		ensure: func(pf string, want int, inUse []string) (bool, error) {
			calls = append(calls, fmt.Sprintf("%s %d %v", pf, want, inUse))
			return refusal == nil, refusal
		},
		said: map[string]string{},
	}
	step := func(name string, wantCalls []string, wantLogged ...string) {
		t.Helper()
		calls, logged = nil, nil
		c.apply()
		if diff := cmp.Diff(wantCalls, calls); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(logged) != len(wantLogged) {
			t.Fatalf("%s: logged %q, want %q", name, logged, wantLogged)
		}
		for i, want := range wantLogged {
			if !strings.Contains(logged[i], want) {
				t.Errorf("%s: logged %q, want %q", name, logged[i], want)
			}
		}
	}
	step("node not known", nil)
	known = true
	step("PFs not there", nil, "no interface of this name", "no interface of this name")
	step("said once", nil)
	present, refusal = true, &plumb.VFCountError{PF: "ens1f0", Have: 2, Want: 4, Err: plumb.ErrVFsInUse}
	call := []string{"ens1f0 4 [0000:01:10.0]"}
	step("in use", call, "PF ens1f0: have 4 VFs instead of 2: VFs of this PF are in use")
	refusal = errors.New("broken")
	step("another reason", call, "broken")
	refusal = nil
	step("done", call, "the PF has the configured VFs now")
}
