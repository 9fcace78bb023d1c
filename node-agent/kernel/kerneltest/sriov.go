package kerneltest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// RequirePFs returns the interfaces of network cards that can have virtual functions, and skips a test where there are fewer
// than it needs. Where everything is required it fails instead: make test-vm makes a machine that has them. The names of such
// tests begin with TestSRIOV, so that a run on any other machine can leave them out.
func RequirePFs(t testing.TB, need int, feature string) (pfs []string) {
	t.Helper()
	RequireRoot(t, feature)
	files, err := filepath.Glob("/sys/class/net/*/device/sriov_totalvfs")
	must(t, "look for network cards with SR-IOV", err)
	for _, file := range files {
		pfs = append(pfs, filepath.Base(filepath.Dir(filepath.Dir(file))))
	}
	if len(pfs) >= need {
		return pfs[:need]
	}
	if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
		t.Fatalf("needs %d network cards with SR-IOV: %s", need, feature)
	}
	t.Skipf("skipped: needs %d network cards with SR-IOV: %s", need, feature)
	return nil
}

// SetUpPF brings a network card up and waits for its carrier, without which the drivers of its VFs get no answer.
func SetUpPF(t testing.TB, node *kernel.Namespace, pf string) {
	t.Helper()
	must(t, "set up "+pf, setUp(node, pf))
	Eventually(t, "PF "+pf+" has a carrier", func() bool {
		carrier, err := kernel.Sys("").Read("class/net/" + pf + "/carrier")
		return err == nil && carrier == "1"
	})
}

// VF is the PCI address of a card's VF, of which it makes 7 if it has none.
func VF(t testing.TB, node *kernel.Namespace, pf string, index int) string {
	t.Helper()
	SetUpPF(t, node, pf)
	device := "class/net/" + pf + "/device/"
	if count, err := kernel.Sys("").Read(device + "sriov_numvfs"); err != nil || count == "0" {
		must(t, "make VFs", kernel.Sys("").Write(device+"sriov_numvfs", "7"))
	}
	address, err := kernel.Sys("").Target(device + "virtfn" + strconv.Itoa(index))
	if err != nil || address == "" {
		t.Fatalf("PF %s has no VF %d: %v", pf, index, err)
	}
	return address
}
