package qos

import (
	"errors"
	"fmt"
	"sync"

	"github.com/go-logr/logr"
	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// Options of a Manager. All are needed.
type Options struct {
	Log logr.Logger
	// Open opens the namespace that has the uplinks.
	Open func() (*kernel.Namespace, error)
	// Dir is a folder, made if it is missing, right in the bpffs of the node.
	Dir string
	// Speed of a NIC in bit/s, 0 where nobody knows it.
	Speed func(plan.Device) uint64
}

// Manager holds the links of a node to the classes of the attachments on them. Its methods may be called concurrently.
type Manager struct {
	Options
	pins   pins
	guards guards

	// mu makes one Apply follow another.
	mu   sync.Mutex
	node *kernel.Namespace
	// retired is what removed classes have counted.
	retired counters
	// names are the QoSClasses of the trees' classes, as last applied.
	names map[treeKey]map[uint16]string

	reportsMu sync.Mutex
	reports   map[attachmentKey]plan.QoSReport
	// complaint is the last trouble that was logged of each link.
	complaint map[string]string
}

// attachmentKey tells an attachment of the node from others: no two have one MAC on one link.
type attachmentKey struct {
	link string
	mac  mac
}

func keyOf(a plan.Attachment) attachmentKey { return attachmentKey{linkOf(a), newMAC(a.MAC)} }

// treeKey is one tree by the name of its link, and where it is.
type treeKey struct {
	link string
	direction
	queue int
}

// New returns a Manager. It looks at nothing before it is used.
func New(o Options) *Manager {
	m := &Manager{
		Options: o, pins: pins{o.Dir}, retired: counters{}, names: map[treeKey]map[uint16]string{},
		reports: map[attachmentKey]plan.QoSReport{}, complaint: map[string]string{},
	}
	m.guards.init(m.pins)
	return m
}

// Apply brings the node to what the attachments ask for: those of all pods. What is not asked for by any is removed if complete
// tells that there are no others. Links without a class are left alone. Trouble is told by Report. It tells whether a link has a
// tree now that had none, so that pods on it may lack the program that Guard puts on theirs.
func (m *Manager) Apply(all []plan.Attachment, complete bool) (more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := segments(all)
	state, err := m.look(list)
	if err != nil {
		m.fail(list, err)
		return false
	}
	reports := map[attachmentKey]plan.QoSReport{}
	names := map[treeKey]map[uint16]string{}
	var shaped []*segment
	for _, s := range list {
		if !s.wanted(egress) {
			continue
		}
		one := application{Manager: m, state: state, segment: s, complete: complete, names: names}
		ok, trouble := one.apply(reports)
		if ok {
			shaped = append(shaped, s)
		}
		m.complain(s.name, trouble)
	}
	m.names = names
	m.setReports(reports)
	more = m.guards.shape(shaped, complete)
	if complete {
		if err := m.prune(shaped, state); err != nil {
			m.Log.Error(err, "queues that no pod needs stay for now")
		}
	}
	return more
}

// snapshot is what the node has at one instant.
type snapshot struct {
	node   *kernel.Namespace
	qdiscs []qdisc
	// links are those of the segments that there are.
	links map[string]netlink.Link
	// tokens are those of the pods' links.
	tokens map[mac]uint32
}

func (s *snapshot) index(link string) int {
	if found := s.links[link]; found != nil {
		return found.Attrs().Index
	}
	return 0
}

// look reads what the node has. It makes the folders for programs only where one is to be put there.
func (m *Manager) look(list []*segment) (*snapshot, error) {
	if m.node == nil {
		node, err := m.Open()
		if err != nil {
			return nil, fmt.Errorf("the node's network namespace: %w", err)
		}
		m.node = node
	}
	s := &snapshot{node: m.node, links: map[string]netlink.Link{}}
	var wanted []plan.Attachment
	for _, segment := range list {
		if !segment.wanted(egress) {
			continue
		}
		wanted = append(wanted, segment.attachments...)
		found, err := m.node.Handle().LinkByName(segment.name)
		if err != nil && !errors.As(err, &netlink.LinkNotFoundError{}) {
			return nil, fmt.Errorf("look up %s: %w", segment.name, err)
		}
		s.links[segment.name] = found
	}
	var err error
	if s.qdiscs, err = qdiscs(m.node); err != nil {
		return nil, err
	}
	if len(wanted) > 0 {
		if err := m.pins.prepare(); err != nil {
			return nil, err
		}
		s.tokens, err = m.guards.ensure(wanted, segmentNumbers(list, s.index))
	}
	return s, err
}

// fail tells of a trouble that concerns all links.
func (m *Manager) fail(list []*segment, err error) {
	reports := map[attachmentKey]plan.QoSReport{}
	for _, s := range list {
		if !s.wanted(egress) {
			continue
		}
		for _, a := range s.attachments {
			if a.QoS != nil {
				reports[keyOf(a)] = a.QoS.NotEnforced(reasonOf(err), err.Error())
			}
		}
		m.complain(s.name, err)
	}
	m.setReports(reports)
}

// complain logs a trouble once.
func (m *Manager) complain(link string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if m.complaint[link] != text && text != "" {
		m.Log.Info("classes are not all enforced", "link", link, "cause", text)
	}
	m.complaint[link] = text
}

func (m *Manager) setReports(reports map[attachmentKey]plan.QoSReport) {
	m.reportsMu.Lock()
	defer m.reportsMu.Unlock()
	m.reports = reports
}

// Report tells what of an attachment's class is in force, as far as the last Apply and the last Guard have read back.
func (m *Manager) Report(a plan.Attachment) plan.QoSReport {
	if a.QoS == nil {
		return plan.QoSReport{}
	}
	if passthru(a) {
		return a.QoS.NotEnforced(v1alpha1.ReasonQoSNotSupported, "mode passthru gives the pod the uplink's own MAC, by which nothing tells it from the node")
	}
	m.reportsMu.Lock()
	r, ok := m.reports[keyOf(a)]
	m.reportsMu.Unlock()
	if !ok {
		return a.QoS.NotEnforced(v1alpha1.ReasonQoSFailed, "it has not been put in force yet")
	}
	if err := m.guards.trouble(newMAC(a.MAC)); err != nil {
		r.Miss(plan.KnobDSCP, v1alpha1.ReasonQoSFailed, err.Error())
		r.DSCP = nil
		if a.QoS.Egress.Maximum > 0 {
			r.Miss(plan.KnobEgressMaximum, v1alpha1.ReasonQoSFailed, "it is not enforced between pods of the node: "+err.Error())
		}
	}
	return r
}

// Counters are those of all classes.
func (m *Manager) Counters() ([]Counter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sum := counters{}
	for key, counter := range m.retired {
		sum[key] = counter
	}
	for key, names := range m.names {
		found, err := classes(m.node, key.queue)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", key.link, key.direction, err)
		}
		for minor, class := range found {
			if name := names[minor]; name != "" {
				sum.add(counterKey{key.link, key.direction, name}, class)
			}
		}
	}
	return sum.list(), nil
}

// vlanOf is the name of the link for the VLAN that an attachment is in.
func vlanOf(vlan plan.VLAN) string { return plumb.VLANName(vlan.Uplink, vlan.ID) }
