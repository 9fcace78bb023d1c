package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"

	"github.com/multinet-dev/multinet/node-agent/dra"
	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/plan"
	"github.com/multinet-dev/multinet/node-agent/watch"
)

// deviceReader reads what the node offers to pods.
type deviceReader struct {
	sys    fs.FS
	config inventory.Config
	// place is of the Node object, and false while that is not known.
	place func() (watch.Place, bool)
	// holder is the name of the interface that has an address.
	holder func(netip.Addr) (string, bool, error)
	// representor is the interface that stands for a VF of an interface in switchdev mode.
	representor func(pf string, vf int) (string, error)
	// lent are the attachments that have a NIC for themselves.
	lent func() []plan.Attachment
	// plugins are the CNI plugins that may run and are there.
	plugins func() []string
}

// read returns the NICs, and the overlay where an interface has the node's address, and what these take bandwidth from.
func (r deviceReader) read() (dra.Node, error) {
	devices, err := inventory.Read(r.sys, r.config)
	if err != nil {
		return dra.Node{}, err
	}
	devices = inventory.WithLent(devices, r.config, r.lent())
	r.addRepresentors(devices)
	place, known := r.place()
	overlay, found, err := r.overlay(place.Address)
	if err != nil {
		return dra.Node{}, err
	}
	if found {
		devices = append(devices, overlay)
	}
	nics, err := inventory.ReadNICs(r.sys, r.config, devices)
	if err != nil {
		return dra.Node{}, err
	}
	devices = append(devices, nics...)
	if plugins := r.plugins(); len(plugins) > 0 {
		devices = append(devices, inventory.CNIDevice(plugins))
	}
	return dra.Node{Devices: devices, Topology: r.config.Topology(place.Labels), Unplaced: !known}, nil
}

// addRepresentors leaves out those that are not made yet: their coming is told of, and read again.
func (r deviceReader) addRepresentors(devices []inventory.Device) {
	for i, d := range devices {
		if !d.Switchdev {
			continue
		}
		if name, err := r.representor(d.PF, d.VFIndex); err == nil {
			devices[i].Representor = name
		}
	}
}

// overlay is not there where the node's address is on none of its interfaces, as behind an address translation: packets of
// other nodes would not come from the address that the API has of them.
func (r deviceReader) overlay(address netip.Addr) (inventory.Device, bool, error) {
	if !address.IsValid() {
		return inventory.Device{}, false, nil
	}
	iface, found, err := r.holder(address)
	if err != nil || !found {
		return inventory.Device{}, false, err
	}
	device, err := inventory.ReadOverlay(r.sys, r.config, iface)
	if errors.Is(err, fs.ErrNotExist) { // gone meanwhile
		return inventory.Device{}, false, nil
	}
	if err != nil {
		return inventory.Device{}, false, fmt.Errorf("overlay: %w", err)
	}
	return device, true, nil
}
