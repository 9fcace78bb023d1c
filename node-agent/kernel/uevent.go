package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// ueventGroup has the kernel's messages, unlike the other group, which has those of udev.
	ueventGroup = 1
	// ueventLimit is what the kernel makes of a message at most, and more.
	ueventLimit = 8 << 10
)

// DeviceChanges calls changed for each PCI function and RDMA device that appears, goes, or gets another driver, until ctx ends or
// messages may have been lost; then it returns, and the caller looks at the devices and calls it again. Interfaces are those of
// LinkChanges.
func DeviceChanges(ctx context.Context, changed func()) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return fmt.Errorf("subscribe to device changes: open a netlink socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "uevent")
	defer socket.Close()
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: ueventGroup}); err != nil {
		return fmt.Errorf("subscribe to device changes: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	message := make([]byte, ueventLimit)
	for {
		size, err := socket.Read(message)
		if ctx.Err() != nil {
			return fmt.Errorf("subscription to device changes: %w", context.Cause(ctx))
		}
		if err != nil {
			return fmt.Errorf("subscription to device changes: %w", err)
		}
		if isDevice(message[:size]) {
			changed()
		}
	}
}

// isDevice reads a message such as "add@/devices/…\0ACTION=add\0SUBSYSTEM=pci\0…".
func isDevice(message []byte) bool {
	for field := range bytes.SplitSeq(message, []byte{0}) {
		if subsystem, ok := bytes.CutPrefix(field, []byte("SUBSYSTEM=")); ok {
			return string(subsystem) == "pci" || string(subsystem) == "infiniband"
		}
	}
	return false
}
