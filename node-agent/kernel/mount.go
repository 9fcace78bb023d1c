package kernel

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// InMountNamespace runs f on a thread in the mount namespace at path, such as /proc/1/ns/mnt, at its root, and waits for it. Files
// that f opens and programs that it starts are those of the namespace. The thread ends with f. It needs CAP_SYS_ADMIN, CAP_SYS_CHROOT
// and, for the namespace of another process, leave to trace that.
func InMountNamespace(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open mount namespace: %w", err)
	}
	defer ns.Close()
	done := make(chan error, 1)
	go OffMainThread(func() {
		err := fmt.Errorf("work in mount namespace %s did not come to its end", path)
		defer func() { done <- err }()
		// A thread that shares its root folder with others cannot have another namespace than they.
		if err = unix.Unshare(unix.CLONE_FS); err != nil {
			err = fmt.Errorf("unshare the root folder: %w", err)
		} else if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
			err = fmt.Errorf("enter mount namespace %s: %w", path, err)
		} else {
			err = f()
		}
	})
	return <-done
}

// OffMainThread runs f on a thread that ends afterwards. The main one cannot end, and is what /proc/self shows of the process.
func OffMainThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // The goroutine ends while locked, and the thread with it.
		return
	}
	begun := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(begun)
		f()
	}()
	<-begun // While this thread is held, the other goroutine cannot be on it.
	runtime.UnlockOSThread()
}
