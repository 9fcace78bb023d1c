// Package traffic sends between two pods and tells what it costs. All system calls are made by threads of their own,
// each bound to a CPU: what the runtime and the scheduler do meanwhile would otherwise be a part of the result.
package traffic

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// patience bounds each system call: where a path loses packets, a benchmark fails rather than hangs.
const patience = 10 * time.Second

// onCPU runs f on a new thread that is bound to a CPU, and waits for it. The thread ends with its goroutine, since
// that never unlocks it.
func onCPU(cpu int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu % runtime.NumCPU())
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			done <- fmt.Errorf("bind a thread to CPU %d: %w", cpu, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// socket opens a blocking socket in a pod.
func socket(pod *kernel.Namespace, addr netip.Addr, kind int) (file *os.File, err error) {
	family := unix.AF_INET6
	if addr.Is4() {
		family = unix.AF_INET
	}
	limit := unix.NsecToTimeval(int64(patience))
	err = pod.Do(func() error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open a socket: %w", err)
		}
		file = os.NewFile(uintptr(fd), "socket")
		if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
			return err
		}
		return unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	})
	return file, err
}

func endpoint(addr netip.Addr, port int) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Addr: addr.As4(), Port: port}
	}
	return &unix.SockaddrInet6{Addr: addr.As16(), Port: port}
}
