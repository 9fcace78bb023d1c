package qos

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// direction of traffic as the pods see it.
type direction string

const (
	egress  direction = "egress"
	ingress direction = "ingress"
)

func (d direction) attachType() ebpf.AttachType {
	if d == egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// macAt is where the MAC of the pod stands in a frame.
func (d direction) macAt() int16 {
	if d == egress {
		return frameSource
	}
	return frameDestination
}

// shaper is one direction of one link: a program on the link and the tree that serves what it has classified, on the same link or
// on the ifb that incoming packets make a detour over.
type shaper struct {
	node *kernel.Namespace
	pins pins
	direction
	// link is the index of the link, queue that of the interface that has the tree.
	link, queue int
	// mtu of the link.
	mtu int
}

func pinName(link int, d direction) string { return fmt.Sprintf("%d-%s", link, d) }
func placesPin(name string) string         { return name + "-places" }
func (s shaper) name() string              { return pinName(s.link, s.direction) }

// shaped is what a shaper found and made.
type shaped struct {
	// minors are the classes of the members, and found the classes with what the kernel says of them.
	minors map[mac]uint16
	found  map[uint16]*netlink.HtbClass
	tree   tree
	// queue is the interface that has the tree.
	queue int
	// removed are classes that were removed, with their last counters.
	removed []*netlink.HtbClass
}

// ensure makes program, table and tree be as they should, and removes what they should not have if prune tells so. The table
// never names a class that is not there: classes are made before, and removed after.
func (s shaper) ensure(speed uint64, gso int, members []member, tokens map[mac]uint32, nodeMAC mac, list []qdisc, prune bool) (done shaped, err error) {
	places, err := s.pins.table(linksDir, placesPin(s.name()), newPlaces)
	if err != nil {
		return done, err
	}
	defer places.Close()
	present, err := entries[place](places)
	if err != nil {
		return done, err
	}
	done.minors, done.queue = assignMembers(members, present), s.queue
	members = slices.DeleteFunc(members, func(m member) bool { return m.minor == 0 })
	done.tree = newTree(speed, gso, members)
	if err := s.ensureProgram(places); err != nil {
		return done, err
	}
	if root, _ := rootOf(list, s.queue); !root.ours() {
		if err := addHTB(s.node, s.queue); err != nil {
			return done, err
		}
	}
	found, err := classes(s.node, s.queue)
	if err != nil {
		return done, err
	}
	changes := changesFor(s.queue, s.mtu, done.tree, found, queuesOf(list, s.queue))
	if err := changes.send(s.node); err != nil {
		return done, err
	}
	if err := s.ensurePlaces(places, present, members, tokens, nodeMAC, prune); err != nil {
		return done, err
	}
	// What is reported, and what classes have counted that go now.
	if done.found, err = classes(s.node, s.queue); err != nil || !prune {
		return done, err
	}
	done.removed, err = pruneClasses(s.node, s.queue, done.tree, done.found)
	return done, err
}

// assignMembers numbers the members, as the table has it from before.
func assignMembers(members []member, present map[mac]place) map[mac]uint16 {
	taken, macs := map[mac]uint16{}, make([]mac, 0, len(members))
	for m, p := range present {
		if number, minor := netlink.MajorMinor(p.Priority); number == major {
			taken[m] = minor
		}
	}
	for _, m := range members {
		macs = append(macs, m.mac)
	}
	minors := assign(macs, taken)
	for i := range members {
		members[i].minor = minors[members[i].mac]
	}
	return minors
}

// ensureProgram puts the classifier on the link.
func (s shaper) ensureProgram(places *ebpf.Map) error {
	c := classifier{name: "multinet_egress", at: s.macAt(), places: places, group: handle(minorGroup), other: handle(minorDefault)}
	if s.direction == ingress {
		c.name, c.queued = "multinet_input", true
	}
	return ensureClassifier(s.node, s.pins, s.name(), s.link, s.attachType(), c)
}

// ensureClassifier puts a program on a link, or in the place of one of another name that a former agent has put there.
func ensureClassifier(node *kernel.Namespace, p pins, name string, index int, at ebpf.AttachType, c classifier) error {
	found, on, err := p.attached(linksDir, name)
	if err != nil {
		return err
	}
	if found != nil {
		defer found.Close()
		if same, err := runs(found, c.name); on == index && (err != nil || same) {
			return err
		}
	}
	program, err := c.load()
	if err != nil {
		return err
	}
	defer program.Close()
	if found != nil && on == index {
		if err := found.Update(program); err != nil {
			return fmt.Errorf("exchange program %s: %w", name, err)
		}
		return nil
	}
	return node.Do(func() error { return p.attach(linksDir, name, program, index, at) })
}

func (s shaper) ensurePlaces(places *ebpf.Map, present map[mac]place, members []member, tokens map[mac]uint32, nodeMAC mac, prune bool) error {
	want := map[mac]place{nodeMAC: {Priority: handle(minorNode)}}
	for _, m := range members {
		want[m.mac] = place{Priority: handle(m.minor)}
		if s.direction == egress {
			want[m.mac] = place{Priority: handle(m.minor), Token: tokens[m.mac]}
		}
	}
	return ensureEntries(places, present, want, prune)
}

// ensureEntries writes what differs, and removes what is not wanted if prune tells so.
func ensureEntries[V comparable](table *ebpf.Map, present, want map[mac]V, prune bool) error {
	for m, v := range want {
		if has, ok := present[m]; ok && has == v {
			continue
		}
		if err := table.Put(m, v); err != nil {
			return fmt.Errorf("write a table: %w", err)
		}
	}
	for m := range present {
		if _, wanted := want[m]; wanted || !prune {
			continue
		}
		if err := table.Delete(m); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("write a table: %w", err)
		}
	}
	return nil
}

// entries reads a table that only this process writes.
func entries[V any](table *ebpf.Map) (map[mac]V, error) {
	found := map[mac]V{}
	var key mac
	var value V
	all := table.Iterate()
	for all.Next(&key, &value) {
		found[key] = value
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read a table: %w", err)
	}
	return found, nil
}

// remove gives the link back as it was.
func (s shaper) remove(list []qdisc) error {
	if root, _ := rootOf(list, s.queue); root.ours() {
		if err := removeHTB(s.node, s.queue); err != nil {
			return err
		}
	}
	return errors.Join(s.pins.remove(linksDir, s.name()), s.pins.remove(linksDir, placesPin(s.name())))
}
