package kerneltest

import (
	"os"
	"path/filepath"
	"testing"
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
