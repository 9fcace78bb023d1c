package delegate

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// The life of an interface of the bridge and host-local plugins.
func TestBridgeAndHostLocal(t *testing.T) {
	l := newLab(t, []string{"bridge", "host-local"}, nil)
	a := l.attachment(onBridge)
	made, added, err := l.Add(t.Context(), l.sandbox, a)
	l.must(err)
	want := []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24")}
	if !added || !slices.Equal(made.Addresses, want) || !slices.Equal(made.Gateways, []netip.Addr{netip.MustParseAddr("10.77.0.1")}) || len(made.MAC) != 6 || made.MTU != 1500 {
		t.Errorf("added %v, %+v", added, made)
	}
	seen, found, err := attach.Look(l.sandbox.NetNS, "net1")
	if err != nil || !found || !slices.Equal(seen.Addresses, want) || seen.MAC.String() != made.MAC.String() {
		t.Errorf("in the pod: %+v, %v, %v", seen, found, err)
	}
	l.must(l.Look(t.Context(), l.sandbox, a))
	l.must(l.Check(t.Context(), l.sandbox, a))
	l.restart([]string{"bridge", "host-local"})
	again, added, err := l.Add(t.Context(), l.sandbox, a)
	if err != nil || added || !slices.Equal(again.Addresses, want) || l.taken() != "10.77.0.2" {
		t.Errorf("again: added %v, %+v, %v, taken %s", added, again, err, l.taken())
	}
	if got, ok := l.Made(l.sandbox, a); !ok || !slices.Equal(got.Addresses, want) {
		t.Errorf("told after a restart: %+v", got)
	}
	kerneltest.Remove(t, l.pod, "net1")
	l.fails("the interface is missing", l.Look(t.Context(), l.sandbox, a))
	l.fails(`network "lan" interface net1: run CNI plugins: `, l.Check(t.Context(), l.sandbox, a))
	if _, added, err := l.Add(t.Context(), l.sandbox, a); err != nil || !added || strings.Contains(l.taken(), " ") {
		t.Errorf("repaired: added %v, %v, taken %s", added, err, l.taken())
	}
	l.must(l.Prune(t.Context(), func(id string) bool { return id == "box" }))
	l.must(l.Look(t.Context(), l.sandbox, a))
	l.must(l.Del(t.Context(), l.sandbox, a))
	l.nothingLeft()
	l.must(l.Del(t.Context(), l.sandbox, a))
	l.fails("the interface is missing", l.Look(t.Context(), l.sandbox, a))
}

func TestChain(t *testing.T) {
	all := []string{"ptp", "tuning", "portmap", "host-local"}
	l := newLab(t, all, nil)
	a := l.attachment(`{"cniVersion": "0.4.0", "name": "lan", "plugins": [
		{"type": "ptp", "ipam": {"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": "%DATA%", "routes": [{"dst": "10.88.0.0/16"}]}, "dns": {"nameservers": ["10.77.0.9"]}},
		{"type": "tuning", "mac": "02:00:00:00:00:77", "mtu": 1400, "dataDir": "%DIR%/tuning"},
		{"type": "portmap", "capabilities": {"portMappings": true}}]}`)
	made, _, err := l.Add(t.Context(), l.sandbox, a)
	l.must(err)
	if made.MAC.String() != "02:00:00:00:00:77" || made.MTU != 1400 || len(made.Addresses) != 1 || !slices.Equal(made.DNS.Nameservers, []string{"10.77.0.9"}) {
		t.Errorf("%+v", made)
	}
	l.must(l.Check(t.Context(), l.sandbox, a))
	l.must(l.Del(t.Context(), l.sandbox, a))
	l.nothingLeft()
}

// An agent that is killed leaves what the next one takes away, or makes anew where the sandbox lives.
func TestKilled(t *testing.T) {
	allowed := []string{"bridge", "host-local"}
	for name, left := range map[string]func(l *lab, r Record){
		"before the first plugin": func(l *lab, r Record) { l.must(l.Records.Put(r.key(), r)) },
		"after the plugins, before the record": func(l *lab, r Record) {
			l.must(l.Records.Put(r.key(), r))
			list, _, err := parse(r.CNI)
			l.must(err)
			_, err = l.cni.AddNetworkList(l.t.Context(), list, l.arguments(r))
			l.must(err)
		},
		"while libcni wrote": func(l *lab, r Record) {
			_, _, err := l.Add(l.t.Context(), l.sandbox, l.attachment(onBridge))
			l.must(err)
			files, _ := filepath.Glob(l.path("state/libcni/results/*"))
			l.must(os.WriteFile(files[0], nil, 0o600))
		},
		"after plugins took it away, before that was recorded": func(l *lab, r Record) {
			_, _, err := l.Add(l.t.Context(), l.sandbox, l.attachment(onBridge))
			l.must(err)
			list, _, err := parse(r.CNI)
			l.must(err)
			l.must(l.cni.DelNetworkList(l.t.Context(), list, l.arguments(r)))
		},
	} {
		for fate, goes := range map[string]func(l *lab){"sandbox stops": func(*lab) {}, "namespace is gone": (*lab).endNamespace} {
			t.Run(name+", "+fate, func(t *testing.T) {
				l := newLab(t, allowed, nil)
				a := l.attachment(onBridge)
				left(l, Record{Sandbox: l.sandbox, Network: a.Network, Interface: a.Interface, CNI: *a.CNI, Types: allowed})
				goes(l)
				l.restart(nil) // even where the plugins may not run any more
				l.must(l.Prune(t.Context(), none))
				l.nothingLeft()
			})
		}
		t.Run(name+", sandbox lives", func(t *testing.T) {
			l := newLab(t, allowed, nil)
			a := l.attachment(onBridge)
			left(l, Record{Sandbox: l.sandbox, Network: a.Network, Interface: a.Interface, CNI: *a.CNI, Types: allowed})
			l.restart(allowed)
			_, _, err := l.Add(t.Context(), l.sandbox, a)
			l.must(err)
			l.must(l.Look(t.Context(), l.sandbox, a))
			if strings.Contains(l.taken(), " ") {
				t.Errorf("taken: %s", l.taken())
			}
			l.must(l.Del(t.Context(), l.sandbox, a))
			l.nothingLeft()
		})
	}
}

// A plugin that is not ready in time is ended with all that it has started, and undone.
func TestDeadline(t *testing.T) {
	l := newLab(t, []string{"slow"}, map[string]string{"slow": `
		cat >/dev/null
		here=$(dirname $CNI_PATH)
		echo $CNI_COMMAND >>$here/calls
		if [ $CNI_COMMAND = DEL ]; then exit 0; fi
		sleep 300 & echo $! >$here/child
		wait`})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, _, err := l.Add(ctx, l.sandbox, l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "type": "slow"}`))
		ended <- err
	}()
	kerneltest.Within(t, time.Minute, "the plugin has started its child", func() bool {
		content, _ := os.ReadFile(l.path("child"))
		return len(content) > 0
	})
	cancel()
	begin := time.Now()
	err := <-ended
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	l.fails(`network "lan" interface net1: run CNI plugins: plugin type="slow" name="lan" failed (add): ended, since it took too long`, err)
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("that took %s", took)
	}
	if got := l.calls(); got != "ADD DEL" {
		t.Errorf("calls: %s", got)
	}
	child, err := os.ReadFile(l.path("child"))
	l.must(err)
	kerneltest.Eventually(t, "the plugin's child has ended", func() bool {
		state, err := exec.Command("ps", "-o", "stat=", "-p", strings.TrimSpace(string(child))).Output()
		return err != nil || strings.HasPrefix(string(state), "Z")
	})
	l.nothingLeft()
}

// Nothing runs but what is allowed, whoever asks for it.
func TestNothingElseRuns(t *testing.T) {
	evil := "cat >/dev/null\necho evil >>$(dirname $CNI_PATH)/calls\necho '{\"cniVersion\": \"1.0.0\"}'"
	meta := "cat >/dev/null\nls $CNI_PATH | tr '\\n' ' ' >$(dirname $CNI_PATH)/calls\necho '{\"cniVersion\": \"1.0.0\"}'"
	for name, c := range map[string]struct{ config, want, calls string }{
		"a type":               {`{"cniVersion": "1.0.0", "name": "lan", "type": "evil"}`, `CNI plugin "evil" may not run on this node`, ""},
		"in the chain":         {`{"cniVersion": "1.0.0", "name": "lan", "plugins": [{"type": "meta"}, {"type": "evil"}]}`, `CNI plugin "evil" may not run`, ""},
		"IPAM":                 {`{"cniVersion": "1.0.0", "name": "lan", "type": "ptp", "ipam": {"type": "evil"}}`, `CNI plugin "evil" may not run`, ""},
		"another case of type": {`{"cniVersion": "1.0.0", "name": "lan", "type": "meta", "TYPE": "evil"}`, "", "host-local meta ptp"},
		"another case of ipam": {`{"cniVersion": "1.0.0", "name": "lan", "type": "ptp", "IPAM": {"type": "evil"},
			"ipam": {"type": "host-local", "TYPE": "evil", "subnet": "10.77.0.0/24", "dataDir": "%DATA%"}}`, "", ""},
		"a path":                {`{"cniVersion": "1.0.0", "name": "lan", "type": "../bin/evil"}`, `may not run`, ""},
		"one that is not there": {`{"cniVersion": "1.0.0", "name": "lan", "type": "absent"}`, `CNI plugin "absent" is not in `, ""},
		"no JSON of CNI":        {`{"cniVersion": "1.0.0", "type": "meta"}`, "spec.cni.config: ", ""},
		"what plugins see":      {`{"cniVersion": "1.0.0", "name": "lan", "type": "meta"}`, "", "host-local meta ptp"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, []string{"ptp", "host-local", "meta", "absent"}, map[string]string{"evil": evil, "meta": meta})
			_, _, err := l.Add(t.Context(), l.sandbox, l.attachment(c.config))
			if c.want == "" {
				l.must(err)
			} else {
				l.fails(c.want, err)
				l.nothingLeft()
			}
			if got := l.calls(); got != c.calls {
				t.Errorf("calls %q, want %q", got, c.calls)
			}
		})
	}
}

// Plugins that go and come are seen, and links of former ones are not left.
func TestReady(t *testing.T) {
	l := newLab(t, []string{"bridge", "late"}, nil)
	if got := fmt.Sprint(l.Ready()); got != "[bridge]" {
		t.Error(got)
	}
	l.must(os.WriteFile(l.path("bin/late"), []byte("#!/bin/sh\n"), 0o755)) //nolint:gosec // It is a program.
	if got := fmt.Sprint(l.Ready()); got != "[bridge late]" {
		t.Error(got)
	}
	l.must(os.Remove(l.path("bin/bridge")))
	if got := fmt.Sprint(l.Ready()); got != "[late]" {
		t.Error(got)
	}
	l.restart(nil)
	if _, err := os.Stat(l.path("links")); err == nil || l.Ready() != nil {
		t.Errorf("ready %v, %v", l.Ready(), err)
	}
	l.restart([]string{"late"})
	l.must(os.RemoveAll(l.path("bin")))
	if got := l.Ready(); got != nil {
		t.Errorf("without the folder: %v", got)
	}
}

// What a plugin says reaches the error, and what it adds to the environment of the agent is nothing.
func TestPluginsSpeak(t *testing.T) {
	for name, c := range map[string]struct{ script, want string }{
		"an error of CNI": {`echo '{"cniVersion": "1.0.0", "code": 100, "msg": "no address left", "details": "in 10.77.0.0/24"}'; exit 1`, "no address left; in 10.77.0.0/24 (CNI error 100)"},
		"other output":    {`echo 'panic: oh' >&2; exit 2`, "exit status 2: panic: oh"},
		"nothing":         {`exit 3`, "exit status 3"},
		"no result":       {`echo '{'`, "failed (add): "},
		"environment":     {`env | grep -v '^CNI_\|^PATH\|^PWD\|^SHLVL\|^_=\|^OLDPWD' >&2; exit 4`, "exit status 4"},
		"arguments":       {`echo "$CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS" >&2; exit 5`, "exit status 5: box net1 IgnoreUnknown=1;K8S_POD_NAMESPACE=demo;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=box;K8S_POD_UID=uid"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, []string{"speaks"}, map[string]string{"speaks": "cat >/dev/null\nif [ $CNI_COMMAND = DEL ]; then exit 0; fi\n" + c.script})
			_, _, err := l.Add(t.Context(), l.sandbox, l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "type": "speaks"}`))
			l.fails(c.want, err)
			if name != "no result" && !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("%v says more", err)
			}
			l.nothingLeft()
		})
	}
}

// What cannot be taken away stays on record, and is not tried all the time.
func TestPruneTriesAgain(t *testing.T) {
	l := newLab(t, []string{"stays"}, map[string]string{"stays": `cat >/dev/null
		if [ $CNI_COMMAND = ADD ]; then echo '{"cniVersion": "1.0.0"}'; exit 0; fi
		echo $CNI_COMMAND >>$(dirname $CNI_PATH)/calls
		if [ ! -e $(dirname $CNI_PATH)/may-go ]; then echo 'not yet' >&2; exit 1; fi`})
	a := l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "type": "stays"}`)
	_, _, err := l.Add(t.Context(), l.sandbox, a)
	l.must(err)
	l.fails("pod demo/web: ", l.Prune(t.Context(), none))
	l.must(l.Prune(t.Context(), none))
	if got := l.calls(); got != "DEL" {
		t.Errorf("calls: %s", got)
	}
	l.must(os.WriteFile(l.path("may-go"), nil, 0o600))
	for i, seconds := range []int{10, 20, 40, 80, 160, 300, 300} {
		key, now := "some", time.Unix(1000*int64(i), 0)
		if !l.due(key, now) || l.due(key, now.Add(time.Duration(seconds)*time.Second-1)) {
			t.Errorf("attempt %d is due too early, or never", i)
		}
	}
	l.restart([]string{"stays"})
	l.must(l.Prune(t.Context(), none))
	l.nothingLeft()
}

// A configuration that plugins do not even undo does not stay for ever.
func TestPruneGivesUp(t *testing.T) {
	l := newLab(t, []string{"broken"}, map[string]string{"broken": "cat >/dev/null\necho 'what is this' >&2\nexit 1"})
	_, _, err := l.Add(t.Context(), l.sandbox, l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "type": "broken"}`))
	l.fails("undo: ", err)
	for range attemptsToUndo {
		if len(l.Records.All()) != 1 {
			t.Fatal("given up too early")
		}
		l.fails("what is this", l.Prune(t.Context(), none))
		for key, a := range l.again {
			a.next = time.Time{}
			l.again[key] = a
		}
	}
	l.must(l.Prune(t.Context(), none))
	l.nothingLeft()
}

// Two calls for one interface come one after the other.
func TestOneAtATime(t *testing.T) {
	p := &Plugins{busy: map[string]chan struct{}{}}
	release, err := p.take(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.take(ended, "a"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	next := make(chan func())
	go func() {
		release, _ := p.take(context.Background(), "a")
		next <- release
	}()
	release()
	(<-next)()
	if len(p.busy) != 0 {
		t.Errorf("%v", p.busy)
	}
	if _, err := p.take(t.Context(), "b"); err != nil {
		t.Error(err)
	}
}
