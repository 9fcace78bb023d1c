package kernel

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// ownNamespace is that of the calling thread. /proc/self would be that of the main thread, which may just be inside Do.
const ownNamespace = "/proc/thread-self/ns/net"

// home is the namespace of the process, in which all threads are that are not inside Do.
var home = sync.OnceValues(func() (*os.File, error) { return os.Open(ownNamespace) })

// Do runs f on a thread that is in the namespace and runs nothing else meanwhile, and waits for it. f starts no
// goroutine that needs the namespace. An inner Do of another namespace has a thread of its own.
func (n *Namespace) Do(f func() error) error {
	result := make(chan error, 1)
	runJob(func() (home bool) {
		err := fmt.Errorf("work in network namespace %s did not come to its end", n.path)
		defer func() { result <- err }() // even where f ends the goroutine
		home, err = n.enter(f)
		return home
	})
	return <-result
}

// enter unlocks the thread only if the way back succeeded, and reports whether it did. The runtime ends a thread whose
// goroutine ends while locked to it, so that no other goroutine ever runs in the wrong namespace.
func (n *Namespace) enter(f func() error) (back bool, err error) {
	own, err := home()
	if err != nil {
		return true, fmt.Errorf("open own network namespace: %w", err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(n.FD(), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return true, fmt.Errorf("enter network namespace %s: %w", n.path, err)
	}
	err = f()
	if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) != nil {
		return false, err
	}
	runtime.UnlockOSThread()
	return true, err
}

// job returns false where its goroutine must end.
type job func() bool

// idle holds goroutines that have done a job and wait for another. Netlink's receive buffer makes their stacks grow to
// 128 KiB; doing that on a new goroutine for each job costs 40 µs, a tenth of an attach.
var idle = make(chan chan job, 4)

func runJob(j job) {
	select {
	case worker := <-idle:
		worker <- j
	default:
		go work(j)
	}
}

func work(j job) {
	jobs := make(chan job)
	for j() {
		select {
		case idle <- jobs:
			j = <-jobs
		default:
			return
		}
	}
}
