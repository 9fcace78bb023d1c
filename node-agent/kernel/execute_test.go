package kernel_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// setAlias gives a link a text that others can read.
func setAlias(index int, alias string) *nl.NetlinkRequest {
	request := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(index)
	request.AddData(message)
	request.AddData(nl.NewRtAttr(unix.IFLA_IFALIAS, []byte(alias)))
	return request
}

// Requests go to their namespace from whatever thread, and each gets its own answer.
func TestExecute(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns := kerneltest.Namespace(t, "pod")
	kerneltest.Cable(t, ns, "marker", ns, "other")
	marker, _, err := ns.Interface("marker")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if err := ns.Execute(setAlias(marker, "from anywhere")); err != nil {
					t.Errorf("alias: %v", err)
				}
				if err := ns.Execute(setAlias(1<<20, "nobody's")); !errors.Is(err, unix.ENODEV) {
					t.Errorf("alias of no link: %v", err)
				}
			}
		})
	}
	group.Wait()
	wantAlias(t, ns, "from anywhere")
	inside := func(n *kernel.Namespace) error { return n.Execute(setAlias(marker, "from inside")) }
	if err := kernel.Inside(ns.Path(), inside); err != nil {
		t.Fatal(err)
	}
	wantAlias(t, ns, "from inside")
	kerneltest.Inside(t, ns, func() error { return kernel.Execute(setAlias(marker, "from the thread")) })
	wantAlias(t, ns, "from the thread")
}

func wantAlias(t *testing.T, ns *kernel.Namespace, want string) {
	t.Helper()
	link, err := ns.Handle().LinkByName("marker")
	if err != nil || link.Attrs().Alias != want {
		t.Errorf("alias %q, %v; want %q", link.Attrs().Alias, err, want)
	}
}

func TestExecuteAfterClose(t *testing.T) {
	kerneltest.RequireRoot(t, "network namespaces")
	ns, err := kernel.OpenNamespace(kerneltest.Namespace(t, "pod").Path())
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ns.Execute(setAlias(1, "late")); !errors.Is(err, unix.EBADF) {
		t.Errorf("a request after Close: %v", err)
	}
}
