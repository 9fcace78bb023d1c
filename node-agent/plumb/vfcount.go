package plumb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

var (
	// ErrVFsInUse tells that the number of VFs can't be changed, since that takes all VFs of the PF away for a moment.
	ErrVFsInUse = errors.New("VFs of this PF are in use")
	// ErrFewerVFs tells that a PF has more VFs than are asked for. They are never taken away.
	ErrFewerVFs = errors.New("the PF has more VFs, and is not made to have fewer")
)

// VFCountError tells why a PF does not get its VFs.
type VFCountError struct {
	PF         string
	Have, Want int
	// Err wraps ErrVFsInUse or ErrFewerVFs, or is one of the kernel.
	Err error
}

func (e *VFCountError) Error() string {
	return fmt.Sprintf("PF %s: have %d VFs instead of %d: %v", e.PF, e.Want, e.Have, e.Err)
}

func (e *VFCountError) Unwrap() error { return e.Err }

// EnsureVFs makes a PF have a number of VFs. inUse are the PCI addresses of VFs that somebody has, as far as the caller
// knows; VFs that have neither an interface on the node nor a driver of the node's own are in use as well. The kernel goes from
// one number to another by way of none, so that it is done only where none is in use. The error is a *VFCountError.
func (h VFs) EnsureVFs(pf string, want int, inUse []string) (changed bool, err error) {
	device := "class/net/" + pf + "/device/"
	have, err := h.number(device + "sriov_numvfs")
	if missing(err) {
		err = fmt.Errorf("the node has no such PF, or it has no SR-IOV: %w", err)
	}
	if err == nil && have == want {
		return false, nil
	}
	if err == nil {
		err = h.mayChangeVFs(device, have, want, inUse)
	}
	if err == nil {
		err = h.changeVFs(device+"sriov_numvfs", have, want)
	}
	if err != nil {
		return false, &VFCountError{PF: pf, Have: have, Want: want, Err: err}
	}
	return true, nil
}

func (h VFs) mayChangeVFs(device string, have, want int, inUse []string) error {
	if want < have {
		return ErrFewerVFs
	}
	total, err := h.number(device + "sriov_totalvfs")
	if err != nil {
		return err
	}
	if want > total {
		return fmt.Errorf("the card has %d at most", total)
	}
	known := map[string]bool{}
	for _, pciAddress := range inUse {
		known[pciAddress] = true
	}
	var busy []string
	for index := range have {
		vf, err := h.Sys.Target(device + fmt.Sprintf("virtfn%d", index))
		if err != nil {
			return err
		}
		used, err := h.isAway(vf)
		if err != nil {
			return err
		}
		if used || known[vf] {
			busy = append(busy, vf)
		}
	}
	if len(busy) > 0 {
		return fmt.Errorf("%w: %s", ErrVFsInUse, strings.Join(busy, ", "))
	}
	return nil
}

// isAway tells whether a VF is in some namespace or driven by a program.
func (h VFs) isAway(pciAddress string) (bool, error) {
	driver, err := h.Driver(pciAddress)
	if err != nil || driver == "" {
		return false, err
	}
	attrs, err := h.onNode(pciAddress)
	return attrs == nil, err
}

// changeVFs gives back what was there if the driver takes the new number no more than the way to it.
func (h VFs) changeVFs(attribute string, have, want int) error {
	if have != 0 {
		if err := h.Sys.Write(attribute, "0"); err != nil {
			return err
		}
	}
	if err := h.Sys.Write(attribute, strconv.Itoa(want)); err != nil {
		if have != 0 {
			err = errors.Join(err, h.Sys.Write(attribute, strconv.Itoa(have)))
		}
		return err
	}
	is, err := h.number(attribute)
	if err == nil && is != want {
		err = fmt.Errorf("it has %d: %w", is, ErrNotKept)
	}
	return err
}

func (h VFs) number(attribute string) (int, error) {
	text, err := h.Sys.Read(attribute)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}
