package kerneltest

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// RequireRoot skips a test that cannot make namespaces. Where everything is required, as in CI, it fails instead.
func RequireRoot(t testing.TB, feature string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
		t.Fatalf("needs root: %s", feature)
	}
	t.Skipf("skipped: needs root: %s", feature)
}

var created atomic.Int64

// Namespace is a new namespace that ends with the test.
func Namespace(t testing.TB, role string) *kernel.Namespace {
	t.Helper()
	path := filepath.Join(t.TempDir(), fmt.Sprintf("%s-%d", role, created.Add(1)))
	ns, err := CreateNamespace(path)
	if err != nil {
		t.Fatalf("namespace of the %s: %v", role, err)
	}
	t.Cleanup(func() {
		_ = ns.Close()
		if _, err := os.Stat(path); err == nil {
			_ = RemoveNamespace(path)
		}
	})
	return ns
}

// Cable connects two namespaces by a veth pair, and waits until the kernel has taken notice of the carrier of both ends:
// before that it drops what they send, without an error.
func Cable(t testing.TB, a *kernel.Namespace, nameA string, b *kernel.Namespace, nameB string) {
	t.Helper()
	if err := CreateVeth(a, nameA, b, nameB); err != nil {
		t.Fatal(err)
	}
	Eventually(t, "the cable carries", func() bool { return carries(a, nameA) && carries(b, nameB) })
}

// Address puts an address, such as 10.0.0.1/24, on an interface. An IPv6 address is usable at once.
func Address(t testing.TB, ns *kernel.Namespace, iface, address string) {
	t.Helper()
	if err := addAddress(ns, iface, address); err != nil {
		t.Fatalf("address %s on %s: %v", address, iface, err)
	}
}

// Eventually waits until a condition holds, and fails the test if it does not within 5 s.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	Within(t, 5*time.Second, what, holds)
}

// Within is Eventually for what takes longer.
func Within(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", limit, what)
		case <-tick.C:
		}
	}
}

// Inside runs f in the namespace and fails the test with its error.
func Inside(t testing.TB, ns *kernel.Namespace, f func() error) {
	t.Helper()
	if err := ns.Do(f); err != nil {
		t.Fatal(err)
	}
}
