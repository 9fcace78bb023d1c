package overlay

import (
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/plumb"
)

// apply goes in the order that lets nobody in who is no member, and loses no frame of one: the guard, the link, its entries. Who
// is no member any more goes last. full has the kernel read, look the link made right.
func (s *segment) apply(full, look bool) error {
	if look {
		fresh, err := s.makeLink(full)
		if err != nil {
			return err
		}
		full = full || fresh
	}
	next, err := s.next(full)
	if err != nil {
		return err
	}
	return s.program(next)
}

// makeLink tells whether the link is another one than before, which has no entries and none of the pods' links.
func (s *segment) makeLink(full bool) (fresh bool, err error) {
	s.mu.Lock()
	members := s.rack.members()
	s.mu.Unlock()
	if err := s.guards.admit(s.overlay, members); err != nil {
		return false, newError(s.overlay, StepGuard, err)
	}
	if full {
		if err := s.guards.check(); err != nil {
			return false, newError(s.overlay, StepGuard, err)
		}
	}
	link, created, err := s.node.EnsureOverlay(s.overlay)
	if err != nil {
		return false, newError(s.overlay, StepLink, err)
	}
	before := s.link
	fresh, s.link = created || link.Index != before, link.Index
	if fresh && before != 0 {
		s.log.Info("the VXLAN link was gone and is made anew, the pods' links on it with it", "link", plumb.OverlayName(s.overlay.VNI))
		s.remade()
	}
	return fresh, nil
}

// change is what the kernel has to be told.
type change struct {
	add, remove []plumb.Entry
	// members are those of that version.
	members []netip.Addr
	version int
}

// next takes for told what it returns. Whoever fails to tell it has to read the kernel.
func (s *segment) next(full bool) (change, error) {
	var present []plumb.Entry
	if full {
		var err error
		if present, err = s.node.Entries(s.link); err != nil {
			return change{}, newError(s.overlay, StepEntries, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := change{version: s.rack.version}
	if full {
		c.add, c.remove = s.rack.reconcile(present)
	} else {
		c.add, c.remove = s.rack.delta()
	}
	if c.version != s.admitted {
		c.members = s.rack.members()
	}
	return c, nil
}

func (s *segment) program(c change) error {
	moved := c.version != s.admitted
	if moved {
		if err := s.guards.admit(s.overlay, c.members); err != nil {
			return newError(s.overlay, StepGuard, err)
		}
	}
	if len(c.add)+len(c.remove) > 0 {
		if err := s.node.Program(s.link, c.add, c.remove); err != nil {
			return newError(s.overlay, StepEntries, err)
		}
	}
	if moved {
		if err := s.guards.dismiss(s.overlay, c.members); err != nil {
			return newError(s.overlay, StepGuard, err)
		}
		s.admitted = c.version
	}
	return nil
}
