package plumb

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrNotKept tells of a driver that accepted a value and does not have it afterwards.
var ErrNotKept = errors.New("the driver accepted it and did not do it")

// VFError tells which attribute of a VF cannot be had, and why.
type VFError struct {
	VF
	// Attribute is named as in a Network's spec.sriov, or one of driver, interface and mtu.
	Attribute string
	Wanted    string
	// Meaning of the error for who has to do something about it, or empty.
	Meaning string
	// Err is one of the kernel, or ErrNotKept.
	Err error
}

func (e *VFError) Error() string {
	text := fmt.Sprintf("%s: set %s to %s: ", e.VF, e.Attribute, e.Wanted)
	if e.Meaning != "" {
		text += e.Meaning + ": "
	}
	return text + e.Err.Error()
}

func (e *VFError) Unwrap() error { return e.Err }

// refused explains the errno with which a PF's driver refuses a value.
func refused(vf VF, attribute string, wanted any, pfUp bool, err error) error {
	return &VFError{VF: vf, Attribute: attribute, Wanted: fmt.Sprint(wanted), Meaning: meaning(vf, attribute, pfUp, err), Err: err}
}

func meaning(vf VF, attribute string, pfUp bool, err error) string {
	isRate := strings.HasSuffix(attribute, "TxRate")
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Sprintf("the driver %s of the PF cannot set it", vf.PFDriver)
	case errors.Is(err, unix.EPROTONOSUPPORT):
		return fmt.Sprintf("the driver %s of the PF does not have this protocol", vf.PFDriver)
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EINVAL) && isRate && !pfUp:
		return fmt.Sprintf("PF %s is down: bring it up", vf.PF)
	case errors.Is(err, unix.EINVAL) && isRate:
		return fmt.Sprintf("the driver %s of the PF does not take this rate: it has no such limit, the link is slower, or it has no carrier", vf.PFDriver)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return fmt.Sprintf("the value is out of the range of the driver %s", vf.PFDriver)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return "the node agent lacks CAP_NET_ADMIN on the node, or the card's firmware forbids it"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EAGAIN):
		return "the VF is being reset, or something holds it"
	case errors.Is(err, unix.EROFS):
		return "sysfs is mounted read only: mount the host's /sys into the node agent's container writable, and tell it where"
	case errors.Is(err, unix.ENODEV):
		return "the VF is gone, or its driver refuses it"
	}
	return ""
}

// DirtyError tells how a VF, or a NIC, differs from what it was before it was given away. It must not be given to anybody until
// it is clean.
type DirtyError struct {
	// Device is its name for people.
	Device string
	// Reasons are clauses such as "vlan is 100 instead of 0".
	Reasons []string
	// Err joins what could not be done.
	Err error
}

func (e *DirtyError) Error() string {
	text := fmt.Sprintf("%s is not clean: %s", e.Device, strings.Join(e.Reasons, "; "))
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *DirtyError) Unwrap() error { return e.Err }
