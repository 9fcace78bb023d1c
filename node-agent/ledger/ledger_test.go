package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

func testPod(uid string) plan.Pod {
	node := int32(1)
	return plan.Pod{
		Namespace: "default",
		Name:      "pod-" + uid,
		UID:       types.UID(uid),
		Attachments: []plan.Attachment{{
			Name:         "pod-" + uid + "-0123456789",
			Network:      "storage",
			PodClaimName: "multinet-storage-0",
			Claim:        &plan.Claim{Name: "claim", UID: "c1", Request: "nic", Pool: "node", Device: "uplink-eth1", ShareID: "s1"},
			Interface:    "net1",
			MAC:          plan.HardwareAddr{2, 0, 0, 0, 0, 1},
			Addresses:    []netip.Prefix{netip.MustParsePrefix("10.20.0.5/24"), netip.MustParsePrefix("fd00:20::5/64")},
			Gateways:     []netip.Addr{netip.MustParseAddr("10.20.0.1")},
			Routes: []plan.Route{
				{To: netip.MustParsePrefix("10.99.0.0/16"), Via: netip.MustParseAddr("10.20.0.1")},
				{To: netip.MustParsePrefix("10.98.0.0/16")},
			},
			MTU:     1400,
			Device:  plan.Device{Name: "uplink-eth1", Uplink: "eth1", NUMANode: &node},
			Macvlan: &plan.Macvlan{Mode: "bridge", VLAN: 5},
		}},
	}
}

func open(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal compares as JSON, in which addresses are text.
func equal(t *testing.T, want, got any) {
	t.Helper()
	wantText, err := json.MarshalIndent(want, "", " ")
	must(t, err)
	gotText, err := json.MarshalIndent(got, "", " ")
	must(t, err)
	if diff := cmp.Diff(string(wantText), string(gotText)); diff != "" {
		t.Errorf("plans differ (-want +got):\n%s", diff)
	}
}

func TestOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "pods")
	l := open(t, dir)
	changed := testPod("b")
	changed.Attachments[0].MTU = 1300
	must(t, l.Put(testPod("b")))
	must(t, l.Put(testPod("a")))
	must(t, l.Put(changed))
	must(t, l.Put(testPod("c")))
	must(t, l.Delete("c"))
	must(t, l.Delete("c"))
	must(t, l.Delete("never-there"))
	want := []plan.Pod{testPod("a"), changed}
	equal(t, want, l.All())

	again := open(t, dir)
	equal(t, want, again.All())
	if len(again.Damaged()) != 0 {
		t.Errorf("damaged: %v", again.Damaged())
	}
	if pod, ok := again.Get("b"); !ok || pod.Attachments[0].MTU != 1300 {
		t.Errorf("got %+v, %v", pod, ok)
	}
	if _, ok := again.Get("c"); ok {
		t.Error("a deleted plan came back")
	}
}

// An empty ledger must be an empty list: nil pods and no pods are the same to those who prune.
func TestEmpty(t *testing.T) {
	if all := open(t, t.TempDir()).All(); all == nil || len(all) != 0 {
		t.Errorf("got %#v", all)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pods")
	must(t, os.Mkdir(dir, 0o755))
	l := open(t, dir)
	must(t, l.Put(testPod("a")))
	for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, "a.json"): 0o600} {
		info, err := os.Stat(path)
		must(t, err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
}

func TestDamagedFilesAreSetAside(t *testing.T) {
	good, err := json.Marshal(testPod("other"))
	must(t, err)
	for name, content := range map[string]string{
		"empty after a power cut": "",
		"cut off":                 string(good[:len(good)/2]),
		"not JSON":                "\x00\x00\x00\x00",
		"null":                    "null",
		"a list":                  "[]",
		"of another pod":          string(good),
		"two values":              string(good) + string(good),
		"malformed MAC":           `{"uid":"bad","attachments":[{"mac":"02:00"}]}`,
		"malformed address":       `{"uid":"bad","attachments":[{"mac":"02:00:00:00:00:01","addresses":["10.0.0.300/8"]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, open(t, dir).Put(testPod("good")))
			must(t, os.WriteFile(filepath.Join(dir, "bad.json"), []byte(content), 0o600))
			l := open(t, dir)
			equal(t, []plan.Pod{testPod("good")}, l.All())
			damaged := l.Damaged()
			if len(damaged) != 1 || damaged[0].Path != filepath.Join(dir, "bad.json.damaged") {
				t.Fatalf("damaged: %v", damaged)
			}
			if text := damaged[0].Error(); !strings.Contains(text, "bad.json.damaged") || errors.Unwrap(damaged[0]) == nil {
				t.Errorf("error %q does not tell where the file is and what is wrong with it", text)
			}
			kept, err := os.ReadFile(damaged[0].Path)
			if err != nil || string(kept) != content {
				t.Errorf("the damaged file was not kept: %q, %v", kept, err)
			}
			if again := open(t, dir); len(again.Damaged()) != 0 || len(again.All()) != 1 {
				t.Errorf("the second start sees %v and %v", again.Damaged(), again.All())
			}
		})
	}
}

// What a crash between writing and renaming leaves is cleared away; files of others stay.
func TestUnfinishedFiles(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, unfinished+"123"), []byte("{"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "README"), nil, 0o600))
	if l := open(t, dir); len(l.All())+len(l.Damaged()) != 0 {
		t.Errorf("got %v and %v", l.All(), l.Damaged())
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 1 || entries[0].Name() != "README" {
		t.Errorf("left: %v", entries)
	}
}

func TestNamesThatAreNoUIDs(t *testing.T) {
	l := open(t, t.TempDir())
	for _, uid := range []string{"", ".", "..", "../escape", "a/b", ".hidden", "nul\x00", strings.Repeat("x", 300)} {
		if l.Put(testPod(uid)) == nil || l.Delete(types.UID(uid)) == nil {
			t.Errorf("UID %q was accepted", uid)
		}
	}
}

// A plan that could not be stored must not be in memory either: it would be gone after a crash.
func TestFailedPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pods")
	l := open(t, dir)
	must(t, os.RemoveAll(dir))
	if err := l.Put(testPod("a")); err == nil || !strings.Contains(err.Error(), "store plan of pod a") {
		t.Errorf("error %v", err)
	}
	if _, ok := l.Get("a"); ok {
		t.Error("the plan is in memory")
	}
	if err := l.Delete("a"); err != nil {
		t.Errorf("deleting what is absent: %v", err)
	}
}

func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var group sync.WaitGroup
	errs := make([]error, 40)
	for i := range errs {
		group.Go(func() {
			pod := testPod(fmt.Sprintf("pod-%02d", i/2))
			errs[i] = l.Put(pod)
			_, _ = l.Get(pod.UID)
			_ = l.All()
			if i/2%2 == 0 {
				errs[i] = errors.Join(errs[i], l.Put(pod), l.Delete(pod.UID))
			}
		})
	}
	group.Wait()
	must(t, errors.Join(errs...))
	equal(t, l.All(), open(t, dir).All())
}

func BenchmarkPut(b *testing.B) {
	l, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := l.Put(testPod("a")); err != nil {
			b.Fatal(err)
		}
	}
}
