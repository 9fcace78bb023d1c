package main

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/k8snetworkplumbingwg/sriovnet"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/inventory"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// switchdevCard is the sysfs of a card of two PFs in switchdev mode: it shows their interfaces and one for each VF, all with one
// switch ID.
func switchdevCard(t *testing.T) (root string) {
	root = t.TempDir()
	write := func(path, text string) error {
		path = filepath.Join(root, "class/net", path)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text+"\n"), 0o600))
	}
	var failed []error
	for name, port := range map[string]string{"ens1f0np0": "p0", "ens1f1np1": "p1", "eth0": "pf0vf0", "eth1": "pf0vf1", "eth2": "pf1vf0", "eth3": "pf0sf1"} {
		failed = append(failed, write(name+"/phys_switch_id", "7cfe90"), write(name+"/phys_port_name", port))
	}
	for pf, address := range map[string]string{"ens1f0np0": "0000:03:00.0", "ens1f1np1": "0000:03:00.1"} {
		folder := filepath.Join(root, "class/net", pf)
		failed = append(failed, os.Symlink("../../../"+address, folder+"/device"), os.Symlink("../../net", folder+"/subsystem"))
	}
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	return root
}

// onSys puts a folder in the place of /sys for this test alone, since sriovnet looks nowhere else. The thread ends with the test.
func onSys(t *testing.T, root string) {
	kerneltest.RequireRoot(t, "another /sys for one thread")
	runtime.LockOSThread()
	if err := errors.Join(unix.Unshare(unix.CLONE_FS|unix.CLONE_NEWNS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount(root, "/sys", "", unix.MS_BIND, "")); err != nil {
		t.Fatal(err)
	}
}

func TestRepresentors(t *testing.T) {
	onSys(t, switchdevCard(t))
	devices := []inventory.Device{
		{Name: "first", PF: "ens1f0np0", Switchdev: true},
		{Name: "second", PF: "ens1f0np0", VFIndex: 1, Switchdev: true},
		{Name: "other PF", PF: "ens1f1np1", Switchdev: true},
		{Name: "not made yet", PF: "ens1f1np1", VFIndex: 1, Switchdev: true},
		{Name: "not in switchdev mode", PF: "ens1f0np0"},
	}
	deviceReader{representor: sriovnet.GetVfRepresentor}.addRepresentors(devices)
	got := map[string]string{}
	for _, d := range devices {
		got[d.Name] = d.Representor
	}
	want := map[string]string{"first": "eth0", "second": "eth1", "other PF": "eth2", "not made yet": "", "not in switchdev mode": ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("representors (-want +got):\n%s", diff)
	}
}
