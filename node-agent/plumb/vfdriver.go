package plumb

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

const pciDrivers = "bus/pci/drivers/"

// bind takes the VF from the driver that it has, and gives it to another or the same. Where driver is "" it stays without.
// With an override the VF takes that driver alone, and no other driver takes it.
func (h VFs) bind(ctx context.Context, vf VF, driver, override string) error {
	present, err := h.Driver(vf.PCIAddress)
	if err != nil {
		return fmt.Errorf("%s: read its driver: %w", vf, err)
	}
	if present != "" {
		if err := h.writeDriver(ctx, vf, pciDrivers+present+"/unbind", vf.PCIAddress, "driver", "none"); err != nil {
			return err
		}
	}
	was, err := h.override(vf.PCIAddress)
	if err != nil {
		return fmt.Errorf("%s: read its driver_override: %w", vf, err)
	}
	if was != override {
		// A line end alone takes the override away.
		if err := h.writeDriver(ctx, vf, pciDevices+vf.PCIAddress+"/driver_override", override+"\n", "driver_override", override); err != nil {
			return err
		}
	}
	if driver == "" {
		return nil
	}
	return h.writeDriver(ctx, vf, pciDrivers+driver+"/bind", vf.PCIAddress, "driver", driver)
}

// ErrVFInUse tells of a program that has not closed a VF that was given to it, so that its driver does not let go of it.
var ErrVFInUse = errors.New("something still uses the VF")

// unanswered has the PCI addresses of VFs for which the kernel has not come back from a change of the driver.
var unanswered sync.Map

// writeDriver does not wait for ever: vfio-pci lets go of a device only when the last program has closed it. The kernel goes on
// waiting, and with it one thread; until it is back the VF is changed no more, or there would be one more with each attempt.
func (h VFs) writeDriver(ctx context.Context, vf VF, entry, value, attribute, wanted string) error {
	if err := h.checkpoint(attribute + " " + wanted); err != nil {
		return err
	}
	err := h.writeWithin(ctx, vf, entry, value)
	if err == nil {
		return nil
	}
	e := &VFError{VF: vf, Attribute: attribute, Wanted: wanted, Meaning: meaning(vf, attribute, true, err), Err: err}
	if errors.Is(err, unix.ENOENT) {
		e.Meaning = "the node's kernel has not loaded this driver"
	}
	return e
}

func (h VFs) writeWithin(ctx context.Context, vf VF, entry, value string) error {
	if _, busy := unanswered.LoadOrStore(vf.PCIAddress, true); busy {
		return ErrVFInUse
	}
	ctx, cancel := h.settle(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		err := h.Sys.Write(entry, value)
		unanswered.Delete(vf.PCIAddress)
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrVFInUse, context.Cause(ctx))
	}
}
