package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/multinet-dev/multinet/node-agent/cni/cnitest"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

const (
	ours         = "multinet-cni"
	reference    = "macvlan + host-local"
	attachAlone  = "attach.Attach alone"
	emptyProgram = "empty program"
)

// bench is a node with one uplink, its agent, and the programs.
type bench struct {
	dir, bin string
	node     *kernel.Namespace
	// place has the folders and the attach path of the node, agent serves it.
	place *cnitest.Node
	agent *agentProcess
	made  int
}

func newBench(ctx context.Context, dir string) (*bench, error) {
	b := &bench{dir: dir, bin: filepath.Join(dir, "programs")}
	if err := cnitest.Build(ctx, ".", b.bin, "main/macvlan", "ipam/host-local"); err != nil {
		return nil, err
	}
	if err := buildEmpty(ctx, filepath.Join(b.bin, emptyProgram)); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "node")
	var err error
	if b.node, err = kerneltest.CreateNamespace(path); err != nil {
		return nil, err
	}
	if err := kerneltest.CreateVeth(b.node, cnitest.Uplink, b.node, "fabric"); err != nil {
		return nil, err
	}
	if b.place, err = cnitest.New(filepath.Join(dir, "agent"), path, filepath.Join(b.bin, "multinet-cni")); err != nil {
		return nil, err
	}
	list := `{"cniVersion":"1.1.0","name":"primary","plugins":[{"type":"loopback"}]}`
	if err := os.WriteFile(filepath.Join(dir, "agent", "net.d", "10-primary.conflist"), []byte(list), 0o600); err != nil {
		return nil, err
	}
	b.agent, err = startAgent(ctx, b.place, path)
	return b, err
}

func (b *bench) close() error {
	return errors.Join(b.agent.stop(), b.node.Close(), kerneltest.RemoveNamespace(filepath.Join(b.dir, "node")))
}

// pod is one that gets an interface and loses it again.
type pod struct {
	uid   string
	netns string
	// number is another for each pod.
	number int
}

// side is one way to do it. prepare and end are not measured.
type side struct {
	name                    string
	prepare, end            func(context.Context, pod) error
	added, checked, deleted func(context.Context, pod) error
}

// took are the times of one round.
type took struct{ add, check, del time.Duration }

// round measures the verbs for all pods at once.
func (b *bench) round(ctx context.Context, s side, n int) (t took, err error) {
	var pods []pod
	defer func() {
		for _, p := range pods {
			err = errors.Join(err, s.end(ctx, p), kerneltest.RemoveNamespace(p.netns))
		}
	}()
	for range n {
		b.made++
		p := pod{uid: fmt.Sprintf("pod-%d", b.made), number: b.made, netns: filepath.Join(b.dir, fmt.Sprintf("pod-%d", b.made))}
		ns, err := kerneltest.CreateNamespace(p.netns)
		if err != nil {
			return t, err
		}
		pods = append(pods, p)
		if err := errors.Join(ns.Close(), s.prepare(ctx, p)); err != nil {
			return t, err
		}
	}
	for _, verb := range []struct {
		name string
		do   func(context.Context, pod) error
		took *time.Duration
	}{{"ADD", s.added, &t.add}, {"CHECK", s.checked, &t.check}, {"DEL", s.deleted, &t.del}} {
		if *verb.took, err = atOnce(pods, func(p pod) error { return verb.do(ctx, p) }); err != nil {
			return t, fmt.Errorf("%s: %w", verb.name, err)
		}
	}
	return t, nil
}

func atOnce(pods []pod, do func(pod) error) (time.Duration, error) {
	failed := make([]error, len(pods))
	var all sync.WaitGroup
	start := time.Now()
	for i, p := range pods {
		all.Go(func() { failed[i] = do(p) })
	}
	all.Wait()
	return time.Since(start), errors.Join(failed...)
}

func nothing(context.Context, pod) error { return nil }

func (b *bench) ours() side {
	stanza := b.place.Place().Stanza
	config := fmt.Sprintf(`{"cniVersion":"1.1.0","name":"primary","type":"multinet-cni","socket":%q,"selectedDir":%q,"deletedDir":%q,
		"prevResult":{"cniVersion":"1.1.0","ips":[{"address":"10.244.0.9/16"}],"dns":{}}}`, stanza.Socket, stanza.Selected, stanza.Deleted)
	call := func(command string) func(context.Context, pod) error {
		return func(ctx context.Context, p pod) error { return b.start(ctx, "multinet-cni", command, p, config) }
	}
	return side{
		name: ours, added: call("ADD"), checked: call("CHECK"), deleted: call("DEL"),
		prepare: func(_ context.Context, p pod) error { return b.agent.tell(orderPrepare, p.uid) },
		end:     func(_ context.Context, p pod) error { return b.agent.tell(orderEnd, p.uid) },
	}
}

func (b *bench) reference() side {
	config := fmt.Sprintf(`{"cniVersion":"1.0.0","name":"reference","type":"macvlan","master":%q,"mode":"bridge","ipam":{"type":"host-local","dataDir":%q,
		"ranges":[[{"subnet":"10.30.0.0/16"}]],"routes":[{"dst":"10.99.0.0/16","gw":"10.30.255.254"}]}}`, cnitest.Uplink, filepath.Join(b.dir, "host-local"))
	call := func(command string) func(context.Context, pod) error {
		return func(ctx context.Context, p pod) error { return b.start(ctx, "macvlan", command, p, config) }
	}
	// CHECK would need the result of ADD; nobody compares it.
	return side{name: reference, added: call("ADD"), checked: nothing, deleted: call("DEL"), prepare: nothing, end: nothing}
}

// attachAlone is what the agent does in the kernel, without plugin, socket and records.
func (b *bench) attachAlone() side {
	plans := func(p pod) []plan.Attachment {
		high, low := byte(p.number>>8), byte(p.number)
		return []plan.Attachment{{
			Network: "storage", Interface: "net1", MAC: plan.HardwareAddr{2, 0, 0, 9, high, low},
			Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, high, low}), 16), netip.MustParsePrefix(fmt.Sprintf("fd00:20::%x/64", p.number))},
			Routes:    []plan.Route{{To: netip.MustParsePrefix("10.99.0.0/16"), Via: netip.MustParseAddr("10.20.255.254")}},
			Device:    plan.Device{Uplink: cnitest.Uplink}, Macvlan: &plan.Macvlan{Mode: "bridge"},
		}}
	}
	return side{
		name: attachAlone, prepare: nothing, end: nothing,
		added: func(ctx context.Context, p pod) error {
			_, err := b.place.Path.Attach(ctx, p.netns, plans(p))
			return err
		},
		checked: func(ctx context.Context, p pod) error { return b.place.Path.Check(ctx, p.netns, plans(p)) },
		deleted: func(ctx context.Context, p pod) error { return b.place.Path.ReleaseAddresses(ctx, p.netns, plans(p)) },
	}
}

// emptyProgram is started like a plugin and does nothing.
func (b *bench) emptyProgram() side {
	start := func(ctx context.Context, p pod) error { return b.start(ctx, emptyProgram, "", p, "") }
	return side{name: emptyProgram, prepare: nothing, end: nothing, added: start, checked: start, deleted: start}
}

// buildEmpty builds it as the plugins are built.
func buildEmpty(ctx context.Context, to string) error {
	source := to + ".go"
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", to, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the empty program: %w: %s", err, out)
	}
	return nil
}

// start runs a plugin in the node's namespace.
func (b *bench) start(ctx context.Context, program, command string, p pod, config string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, program))
	cmd.Env = []string{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + p.uid, "CNI_NETNS=" + p.netns, "CNI_IFNAME=net1", "CNI_PATH=" + b.bin,
		"CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=" + p.uid + ";K8S_POD_UID=" + p.uid,
	}
	cmd.Stdin = strings.NewReader(config)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := b.node.Do(cmd.Run); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, command, err, out.String())
	}
	return nil
}
