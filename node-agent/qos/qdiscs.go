package qos

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// major is the number of our HTBs, and their mark: "MN". Qdiscs that the kernel chose by itself have 0.
const major = 0x4d4e

func handle(minor uint16) uint32 { return netlink.MakeHandle(major, minor) }

// qdisc is one of any link of the node.
type qdisc struct {
	link           int
	handle, parent uint32
	kind           string
	// limit of a bfifo or tbf in bytes, and burst of a tbf, rounded down.
	limit, burst uint32
}

func (q qdisc) isRoot() bool { return q.parent == netlink.HANDLE_ROOT }

// ours tells whether it is the root of one of our trees.
func (q qdisc) ours() bool { return q.isRoot() && q.kind == "htb" && q.handle == handle(0) }

// foreign tells whether somebody chose it for a link: what the kernel takes by itself has no handle.
func (q qdisc) foreign() bool { return q.isRoot() && q.handle != 0 && !q.ours() }

// qdiscs lists those of all links, with the limits that the library does not read.
func qdiscs(node *kernel.Namespace) ([]qdisc, error) {
	list, err := kernel.Dump(func() (list []qdisc, err error) {
		err = node.List(unix.RTM_GETQDISC, (&nl.TcMsg{Family: unix.AF_UNSPEC}).Serialize(), func(body []byte) error {
			q, err := parseQdisc(body)
			list = append(list, q)
			return err
		})
		return list, err
	})
	if err != nil {
		return nil, fmt.Errorf("list qdiscs: %w", err)
	}
	return list, nil
}

func parseQdisc(body []byte) (qdisc, error) {
	if len(body) < nl.SizeofTcMsg {
		return qdisc{}, fmt.Errorf("a qdisc in %d bytes", len(body))
	}
	message := nl.DeserializeTcMsg(body)
	q := qdisc{link: int(message.Ifindex), handle: message.Handle, parent: message.Parent}
	attributes, err := nl.ParseRouteAttr(body[nl.SizeofTcMsg:])
	if err != nil {
		return qdisc{}, fmt.Errorf("parse a qdisc: %w", err)
	}
	for _, a := range attributes {
		if a.Attr.Type == nl.TCA_KIND {
			q.kind = nl.BytesToString(a.Value)
		}
	}
	for _, a := range attributes {
		switch {
		case a.Attr.Type != nl.TCA_OPTIONS:
		case q.kind == bfifo && len(a.Value) >= 4:
			q.limit = binary.NativeEndian.Uint32(a.Value)
		case q.kind == tbf:
			q.limit, q.burst, err = parseTBF(a.Value)
		}
	}
	return q, err
}

// rootOf is the root qdisc of a link.
func rootOf(list []qdisc, link int) (qdisc, bool) {
	for _, q := range list {
		if q.link == link && q.isRoot() {
			return q, true
		}
	}
	return qdisc{}, false
}

// queuesOf are the queues of a link's classes, by the minor number of the class.
func queuesOf(list []qdisc, link int) map[uint16]qdisc {
	queues := map[uint16]qdisc{}
	for _, q := range list {
		if parent, minor := netlink.MajorMinor(q.parent); q.link == link && parent == major {
			queues[minor] = q
		}
	}
	return queues
}

// addHTB makes the root of a tree. What no class takes goes to the default class.
func addHTB(node *kernel.Namespace, link int) error {
	htb := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: link, Parent: netlink.HANDLE_ROOT, Handle: handle(0)})
	htb.Defcls = minorDefault
	if err := node.Handle().QdiscAdd(htb); err != nil {
		return explained("create HTB", err)
	}
	return nil
}

// removeHTB gives the link the qdisc back that the kernel chooses.
func removeHTB(node *kernel.Namespace, link int) error {
	htb := netlink.NewHtb(netlink.QdiscAttrs{LinkIndex: link, Parent: netlink.HANDLE_ROOT, Handle: handle(0)})
	if err := node.Handle().QdiscDel(htb); err != nil && !gone(err) {
		return fmt.Errorf("remove HTB: %w", err)
	}
	return nil
}

func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

// explained says what the kernel means where it only says that there is no such file.
func explained(step string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("%s: %w (%w): load the modules sch_htb, sch_fifo, sch_tbf, act_mirred, cls_u32 and ifb", step, errNoSupport, err)
	}
	return fmt.Errorf("%s: %w", step, err)
}

// errNoSupport tells that the kernel of the node lacks something.
var errNoSupport = errors.New("the node's kernel lacks what it takes")
