package main

import (
	"errors"
	"sync"

	"github.com/go-logr/logr"

	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plumb"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// vfCounts makes PFs have the VFs that the configuration asks for, as soon as a PF is there and none of its VFs is in use.
type vfCounts struct {
	log    logr.Logger
	config inventory.Config
	place  func() (watch.Place, bool)
	// has tells whether the node has an interface.
	has func(pf string) bool
	// change calls its argument while no VF can be given to a pod, with the VFs that pods have.
	change func(func(inUse []string) error) error
	ensure func(pf string, want int, inUse []string) (changed bool, err error)

	mu sync.Mutex
	// said is the last error of each PF, so that it is logged once.
	said map[string]string
}

// apply does what can be done. What cannot is tried again when something changes, and each half minute.
func (c *vfCounts) apply() {
	place, known := c.place()
	if !known {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, v := range c.config.VFsOf(place.Labels) {
		if !c.has(v.PF) {
			c.say(v, errNoPF)
			continue
		}
		err := c.change(func(inUse []string) error {
			changed, err := c.ensure(v.PF, v.NumVFs, inUse)
			if changed {
				c.log.Info("the PF has the configured VFs now", "pf", v.PF, "numVFs", v.NumVFs)
			}
			return err
		})
		c.say(v, err)
	}
}

var errNoPF = errors.New("the node has no interface of this name: nothing is done until it has")

// say logs what is new.
func (c *vfCounts) say(v inventory.VFConfig, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if c.said[v.PF] == text {
		return
	}
	c.said[v.PF] = text
	switch {
	case err == nil:
	case errors.Is(err, errNoPF), errors.Is(err, plumb.ErrVFsInUse), errors.Is(err, plumb.ErrFewerVFs):
		c.log.Info("the PF does not have the configured VFs", "pf", v.PF, "numVFs", v.NumVFs, "cause", text)
	default:
		c.log.Error(err, "the PF does not have the configured VFs", "pf", v.PF, "numVFs", v.NumVFs)
	}
}
