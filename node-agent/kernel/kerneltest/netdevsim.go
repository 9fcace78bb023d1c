package kerneltest

import (
	"os"
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const netdevsimBus = "bus/netdevsim/"

// Simulated returns the interface of a simulated network card with VFs, which ends with the test. It takes what other cards
// refuse, and has no PCI address. A kernel without the module netdevsim skips the test, as RequirePFs does.
func Simulated(t testing.TB, id, vfs int, feature string) (pf string) {
	t.Helper()
	RequireRoot(t, feature)
	sys, number := kernel.Sys(""), strconv.Itoa(id)
	if _, err := os.Stat(sys.Path(netdevsimBus)); err != nil {
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			t.Fatalf("needs the module netdevsim: %s", feature)
		}
		t.Skipf("skipped: needs the module netdevsim: %s", feature)
	}
	must(t, "make a simulated card", sys.Write(netdevsimBus+"new_device", number+" 1"))
	t.Cleanup(func() { must(t, "remove the simulated card", sys.Write(netdevsimBus+"del_device", number)) })
	device := netdevsimBus + "devices/netdevsim" + number
	must(t, "make simulated VFs", sys.Write(device+"/sriov_numvfs", strconv.Itoa(vfs)))
	names, err := sys.List(device + "/net")
	must(t, "look up the simulated card's interface", err)
	if len(names) != 1 {
		t.Fatalf("the simulated card has interfaces %q", names)
	}
	return names[0]
}

// SetSwitchdev has a simulated card show a representor for each VF.
func SetSwitchdev(t testing.TB, id int) {
	t.Helper()
	device, err := netlink.DevLinkGetDeviceByName("netdevsim", "netdevsim"+strconv.Itoa(id))
	must(t, "look up the simulated card", err)
	must(t, "switch the simulated card to switchdev", netlink.DevLinkSetEswitchMode(device, "switchdev"))
}
