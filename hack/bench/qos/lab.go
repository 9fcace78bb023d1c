package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/qos"
)

// speed of all links in bit/s: more than this machine sends, so that queues stay empty.
const speed = 100_000_000_000

// lab is the folder of all that a run makes.
type lab struct {
	dir string
	// undo is done in reverse.
	undo []func() error
}

func newLab() (*lab, error) {
	l := &lab{}
	dir, err := os.MkdirTemp("", "multinet-bench-")
	if err != nil {
		return l, err
	}
	l.dir = dir
	l.undo = append(l.undo, func() error { return os.RemoveAll(dir) })
	return l, nil
}

func (l *lab) close() (err error) {
	for i := len(l.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, l.undo[i]())
	}
	return err
}

// node is a node whose uplink ends in another machine, with a manager of classes and an attach path.
type node struct {
	*lab
	name          string
	node, machine *kernel.Namespace
	manager       *qos.Manager
	attacher      *attach.Attacher
	planned       []plan.Attachment
}

var (
	machineAddress = netip.MustParsePrefix("10.20.0.1/16")
	podAddress4    = netip.MustParsePrefix("10.20.0.5/16")
	podAddress6    = netip.MustParsePrefix("fd00:20::5/64")
)

func (l *lab) node(name string) (*node, error) {
	n := &node{lab: l, name: name}
	var err error
	if n.node, err = l.namespace(name); err != nil {
		return nil, err
	}
	if n.machine, err = l.namespace(name + "-machine"); err != nil {
		return nil, err
	}
	if err := kerneltest.CreateVeth(n.node, "eth1", n.machine, "far1"); err != nil {
		return nil, err
	}
	far, err := n.machine.Handle().LinkByName("far1")
	if err != nil {
		return nil, err
	}
	address, err := netlink.ParseAddr(machineAddress.String())
	if err != nil {
		return nil, err
	}
	if err := n.machine.Handle().AddrAdd(far, address); err != nil {
		return nil, err
	}
	mount := filepath.Join(l.dir, name+"-bpf")
	if err := errors.Join(os.Mkdir(mount, 0o700), unix.Mount("bpf", mount, "bpf", 0, "")); err != nil {
		return nil, fmt.Errorf("mount a BPF file system: %w", err)
	}
	l.undo = append(l.undo, func() error { return unix.Unmount(mount, unix.MNT_DETACH) })
	path := n.node.Path()
	n.manager = qos.New(qos.Options{Log: logr.Discard(), Open: func() (*kernel.Namespace, error) { return kernel.OpenNamespace(path) },
		Dir: filepath.Join(mount, "multinet"), Speed: func(plan.Device) uint64 { return speed }})
	n.attacher = attach.New(attach.Options{NodeNamespace: path, Guards: n.manager})
	return n, nil
}

func (l *lab) namespace(name string) (*kernel.Namespace, error) {
	path := filepath.Join(l.dir, name)
	ns, err := kerneltest.CreateNamespace(path)
	if err != nil {
		return nil, err
	}
	l.undo = append(l.undo, func() error { return errors.Join(ns.Close(), kerneltest.RemoveNamespace(path)) })
	return ns, nil
}

// attachment i of a node, with a class or without.
func attachment(i int, class bool) plan.Attachment {
	a := plan.Attachment{
		Network: "storage", Interface: "net1", MAC: plan.HardwareAddr{2, 0, 1, byte(i >> 16), byte(i >> 8), byte(i)},
		Addresses: []netip.Prefix{podAddress4, podAddress6}, Device: plan.Device{Name: "uplink-eth1", Uplink: "eth1"}, Macvlan: &plan.Macvlan{Mode: "bridge"},
	}
	if class {
		dscp := 46
		a.QoS = &plan.QoS{Class: "gold", Egress: plan.Bandwidth{Guaranteed: 10_000_000, Maximum: speed / 2}, DSCP: &dscp}
	}
	return a
}

// plan has a number of attachments in force, all with a class.
func (n *node) plan(count int) error {
	for i := range count {
		n.planned = append(n.planned, attachment(i, true))
	}
	return n.inForce()
}

// change has another value of the class reach all of them.
func (n *node) change() error {
	for i := range n.planned {
		n.planned[i].QoS.Egress.Maximum /= 2
	}
	return n.inForce()
}

func (n *node) inForce() error {
	n.manager.Apply(n.planned, true)
	for _, a := range n.planned {
		if missing := n.manager.Report(a).Missing; len(missing) > 0 {
			return fmt.Errorf("a class is not in force: %s", missing[0].Problem)
		}
	}
	return nil
}

// pod attaches one.
func (n *node) pod(a plan.Attachment) (*kernel.Namespace, error) {
	ns, err := n.namespace(n.name + "-pod")
	if err != nil {
		return nil, err
	}
	if _, err = n.attacher.Attach(context.Background(), ns.Path(), []plan.Attachment{a}); err == nil {
		err = n.attacher.Guard(context.Background(), ns.Path(), []plan.Attachment{a})
	}
	return ns, err
}
