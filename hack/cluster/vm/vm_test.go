package vm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/hack/cluster/progress"
)

const modulesDep = `kernel/net/8021q/8021q.ko.xz: kernel/net/802/garp.ko.xz kernel/net/llc/llc.ko.xz
kernel/net/802/garp.ko.xz: kernel/net/llc/llc.ko.xz
kernel/net/llc/llc.ko.xz:
kernel/drivers/vfio/pci/vfio-pci.ko.xz:
alias pci:v00008086d* igb
`

func TestClosure(t *testing.T) {
	got, err := closure(modulesDep, []string{"8021q", "garp", "vfio_pci"})
	want := []string{
		"kernel/drivers/vfio/pci/vfio-pci.ko.xz", "kernel/net/802/garp.ko.xz", "kernel/net/8021q/8021q.ko.xz", "kernel/net/llc/llc.ko.xz",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := closure(modulesDep, []string{"macvlan"}); err == nil || err.Error() != "the kernel has no module macvlan" {
		t.Errorf("got %v", err)
	}
}

func TestPrepare(t *testing.T) {
	repository, control := t.TempDir(), t.TempDir()
	program := filepath.Join(t.TempDir(), "attach.test")
	if err := os.WriteFile(program, []byte("ELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(repository, "node-agent", "attach")
	if err := prepare(control, repository, dir, []string{"MULTINET_X=it's"}, []string{program, "-test.run=a b"}); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, name := range []string{"command", "program"} {
		text, err := os.ReadFile(filepath.Join(control, name))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(text)
	}
	want := map[string]string{
		"program": "ELF",
		"command": "cd '/repository/node-agent/attach' || exit\nexport 'MULTINET_X=it'\\''s'\nexec '/control/program' '-test.run=a b'\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if err := prepare(control, repository, t.TempDir(), nil, []string{"sh"}); err == nil || !strings.Contains(err.Error(), "is not in the repository") {
		t.Errorf("got %v", err)
	}
}

func TestArguments(t *testing.T) {
	for name, test := range map[string]struct {
		guest  Guest
		has    []string
		hasNot []string
	}{
		"plain": {Guest{}, []string{"fsdev=repository"}, []string{"igb", "iommu", "numa"}},
		"two network cards": {Guest{PFs: 2},
			[]string{"igb,bus=port0,netdev=wire0,mac=52:54:00:00:00:01", "igb,bus=port1,", "pcie-root-port,id=port1,bus=pcie.0"}, []string{"port2"}},
		"on two nodes": {Guest{PFs: 2, NUMA: true}, []string{"id=port0,bus=numa0", "id=port1,bus=numa1", "nodeid=1,cpus=1"}, nil},
		"IOMMU":        {Guest{IOMMU: true}, []string{"intel_iommu=on iommu=pt", "intel-iommu,intremap=off"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(test.guest.arguments(Assets{}, "/r", "/c"), " ")
			for _, want := range test.has {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing in %s", want, got)
				}
			}
			for _, wrong := range test.hasNot {
				if strings.Contains(got, wrong) {
					t.Errorf("%q is in %s", wrong, got)
				}
			}
		})
	}
}

// stub makes assets whose QEMU is a shell script; it knows the control folder as $control.
func stub(t *testing.T, script string) (Runner, *strings.Builder) {
	t.Helper()
	assets := Assets{Cache: t.TempDir(), Log: progress.New(io.Discard, time.Now)}
	loader := filepath.Join(assets.tree(), "usr", "lib", "x86_64-linux-gnu", "ld-linux-x86-64.so.2")
	if err := os.MkdirAll(filepath.Dir(loader), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("#!/bin/sh\ncontrol=$(echo \"$*\" | sed 's/.*file:\\([^ ]*\\)\\/console.*/\\1/')\ncount=%s/count\necho x >>$count\n%s\n", assets.Cache, script)
	if err := os.WriteFile(loader, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	return Runner{Assets: assets, Repository: t.TempDir(), Limit: time.Minute, Stdout: &out}, &out
}

func (r Runner) sh(ctx context.Context) error {
	return r.Run(ctx, Guest{}, r.Repository, nil, []string{"sh"})
}

func TestRun(t *testing.T) {
	const end = "echo said >$control/output; echo %d >$control/status"
	for name, test := range map[string]struct {
		qemu   string
		output string
		err    string // begins with
		starts int
	}{
		"success":        {fmt.Sprintf(end, 0), "said\n", "", 1},
		"command failed": {fmt.Sprintf(end, 3), "said\n", "exit status 3", 1},
		"aborted once":   {`[ $(wc -l <$count) = 2 ] || { echo lost >$control/output; kill -ABRT $$; }; ` + fmt.Sprintf(end, 0), "said\n", "", 2},
		"aborts always":  {"kill -ABRT $$", "", "virtual machine: QEMU: signal: aborted", 2},
		"refused":        {"echo no such device >&2; exit 1", "", "virtual machine: QEMU: exit status 1: no such device", 1},
		"panic at boot":  {"echo panic >$control/console", "", "virtual machine: it stopped before the command had begun\nthe end of its console:\n  panic", 2},
		"panic later": {"echo half >$control/output; echo panic >$control/console", "half\n",
			"virtual machine: it stopped before the command had ended\nthe end of its console:\n  panic", 1},
	} {
		t.Run(name, func(t *testing.T) {
			runner, out := stub(t, test.qemu)
			err := runner.sh(t.Context())
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.HasPrefix(err.Error(), test.err)) {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if out.String() != test.output {
				t.Errorf("output %q, want %q", out, test.output)
			}
			starts, err := os.ReadFile(filepath.Join(runner.Assets.Cache, "count"))
			if err != nil || strings.Count(string(starts), "x") != test.starts {
				t.Errorf("%d starts, %v; want %d", strings.Count(string(starts), "x"), err, test.starts)
			}
		})
	}
}

func TestExitIsTheCommands(t *testing.T) {
	runner, _ := stub(t, "echo >$control/output; echo 3 >$control/status")
	var exit Exit
	if err := runner.sh(t.Context()); !errors.As(err, &exit) || exit != 3 {
		t.Errorf("got %v", err)
	}
}

func TestTimeout(t *testing.T) {
	runner, out := stub(t, "echo half >$control/output; echo last words >$control/console; exec sleep 60")
	runner.Limit = 500 * time.Millisecond
	err := runner.sh(t.Context())
	want := "virtual machine: it did not end within 500ms\nthe end of its console:\n  last words"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if out.String() != "half\n" {
		t.Errorf("output %q", out)
	}
}
