package qos

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// guards are the programs on pods' links. Every pod on a link with a tree has one, those without a class too: a pod could send
// with the MAC of another otherwise, on account of that one's class.
type guards struct {
	pins pins

	// mu is held while the kernel takes a program, which may last for tens of milliseconds.
	mu    sync.Mutex
	table *ebpf.Map
	// ready are programs that are loaded for links to come: that takes longer than a hook has.
	ready map[mac]*ebpf.Program
	// shaped are the links that have a tree.
	shaped map[string]bool
	// failed is why a pod's link has no program.
	failed map[mac]error
}

func (g *guards) init(p pins) {
	g.pins, g.ready, g.shaped, g.failed = p, map[mac]*ebpf.Program{}, map[string]bool{}, map[mac]error{}
}

// segmentNumbers tells pods apart that reach each other without passing the link from those that do not.
func segmentNumbers(list []*segment, index func(string) int) func(plan.Attachment) uint32 {
	return func(a plan.Attachment) uint32 {
		vlan, _ := a.VLAN()
		return uint32(index(linkOf(a)))<<12 | uint32(vlan.ID)
	}
}

// ensure makes the table say what the programs are to do, and loads programs for pods that have none yet. It returns the tokens.
func (g *guards) ensure(all []plan.Attachment, number func(plan.Attachment) uint32) (tokens map[mac]uint32, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table == nil {
		if g.table, err = g.pins.table("", guardsPin, newGuards); err != nil {
			return nil, err
		}
	}
	present, err := entries[guard](g.table)
	if err != nil {
		return nil, err
	}
	tokens = map[mac]uint32{}
	for _, a := range all {
		m := newMAC(a.MAC)
		has, known := present[m]
		want := newGuard(a, number(a), has)
		tokens[m] = want.Token
		if !known || has != want {
			if err := g.table.Put(m, want); err != nil {
				return nil, fmt.Errorf("write a table: %w", err)
			}
		}
		if err := g.load(m); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// newGuard keeps the token, and how much of the limit is used up.
func newGuard(a plan.Attachment, number uint32, has guard) guard {
	want := guard{Segment: number, Token: has.Token, Used: has.Used}
	if a.QoS == nil {
		want.Token = 0
		return want
	}
	if want.Token == 0 {
		want.Token = newToken()
	}
	if a.QoS.DSCP != nil {
		want.DSCP = uint32(*a.QoS.DSCP) + 1
	}
	gso := a.GSOMaxSize
	if gso == 0 {
		gso = wholeGSO
	}
	want.setLimit(a.QoS.Egress.Maximum, gso, a.QoS.Egress.Burst)
	return want
}

func newToken() uint32 {
	var random [4]byte
	for {
		_, _ = rand.Read(random[:]) // it never fails
		if token := binary.NativeEndian.Uint32(random[:]); token != 0 {
			return token
		}
	}
}

// load loads a program unless one is on a link already.
func (g *guards) load(m mac) error {
	if g.ready[m] != nil {
		return nil
	}
	if found, index, err := g.pins.attached(podsDir, m.fileName()); err != nil || index != 0 {
		if found != nil {
			_ = found.Close()
		}
		return err
	}
	program, err := loadGuard(m, g.table)
	if err == nil {
		g.ready[m] = program
	}
	return err
}

// shape says which links have a tree, and removes what belongs to no attachment on them if prune tells so. It tells whether one has
// that had none.
func (g *guards) shape(needed []*segment, prune bool) (more bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := g.shaped
	g.shaped = map[string]bool{}
	keep := map[mac]bool{}
	for _, s := range needed {
		g.shaped[s.name] = true
		more = more || !before[s.name]
		for _, a := range s.attachments {
			keep[newMAC(a.MAC)] = true
		}
	}
	if prune {
		g.prune(keep)
	}
	return more
}

func (g *guards) prune(keep map[mac]bool) {
	for m, program := range g.ready {
		if !keep[m] {
			_ = program.Close()
			delete(g.ready, m)
		}
	}
	for m := range g.failed {
		if !keep[m] {
			delete(g.failed, m)
		}
	}
	names := map[string]bool{}
	for m := range keep {
		names[m.fileName()] = true
	}
	pinned, _ := g.pins.list(podsDir)
	for _, name := range pinned {
		if !names[name] {
			_ = g.pins.remove(podsDir, name)
		}
	}
	g.pruneTable(keep)
}

func (g *guards) pruneTable(keep map[mac]bool) {
	if g.table == nil {
		return
	}
	present, _ := entries[guard](g.table)
	for m := range present {
		if !keep[m] {
			_ = g.table.Delete(m)
		}
	}
	if len(keep) > 0 {
		return
	}
	_ = g.table.Close()
	g.table = nil
	_ = g.pins.remove("", guardsPin)
}

func (g *guards) trouble(m mac) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed[m]
}

// Needed tells whether a pod's link is to have a program: it is on a link that has a tree.
func (m *Manager) Needed(a plan.Attachment) bool {
	m.guards.mu.Lock()
	defer m.guards.mu.Unlock()
	return m.guards.needed(a)
}

// Guard puts the program on a pod's link whose index is given, if it needs one and has none yet. It runs on a thread in the pod's
// namespace. Where it fails the pod has its network all the same: Report says what is missing.
func (m *Manager) Guard(a plan.Attachment, index int) {
	if err := m.guards.attach(a, index); err != nil {
		m.Log.Info("a pod's link has no program", "interface", a.Interface, "network", a.Network, "cause", err.Error())
	}
}

// Guarded tells whether the pod's link has the program that it needs. It runs on a thread in the pod's namespace.
func (m *Manager) Guarded(a plan.Attachment, index int) bool {
	m.guards.mu.Lock()
	defer m.guards.mu.Unlock()
	if !m.guards.needed(a) || m.guards.failed[newMAC(a.MAC)] != nil {
		return true // or it has been tried
	}
	has, err := m.guards.on(newMAC(a.MAC), index)
	return has || err != nil
}

func (g *guards) needed(a plan.Attachment) bool { return g.shaped[linkOf(a)] && !passthru(a) }

func (g *guards) attach(a plan.Attachment, index int) (err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.needed(a) {
		return nil
	}
	m := newMAC(a.MAC)
	defer func() {
		if err != nil {
			g.failed[m] = fmt.Errorf("the program on the pod's link: %w", err)
			return
		}
		delete(g.failed, m)
	}()
	if has, err := g.on(m, index); err != nil || has {
		return err
	}
	program := g.ready[m]
	if program == nil {
		if program, err = loadGuard(m, g.table); err != nil {
			return err
		}
	}
	delete(g.ready, m)
	defer program.Close()
	return g.pins.attach(podsDir, m.fileName(), program, index, ebpf.AttachTCXEgress)
}

// on tells whether the pinned program of a MAC is on an interface of the calling thread's namespace. Its index alone does not tell:
// the links of most pods have the same.
func (g *guards) on(m mac, index int) (bool, error) {
	attached, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: ebpf.AttachTCXEgress})
	if err != nil || len(attached.Programs) == 0 {
		return false, err
	}
	pinned, at, err := g.pins.attached(podsDir, m.fileName())
	if err != nil || pinned == nil {
		return false, err
	}
	defer pinned.Close()
	info, err := pinned.Info()
	if err != nil || at != index {
		return false, err
	}
	for _, program := range attached.Programs {
		if id, ok := program.LinkID(); ok && id == info.ID {
			return true, nil
		}
	}
	return false, nil
}
