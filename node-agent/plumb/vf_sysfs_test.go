package plumb

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

const (
	fakePF = "0000:03:00.0"
	fakeVF = "0000:03:00.2"
)

// tree lays a sysfs before the code: "path" makes a folder, "path=text" a file, and "path>target" a link.
func tree(t *testing.T, entries ...string) kernel.Sys {
	t.Helper()
	root := t.TempDir()
	for _, entry := range entries {
		path, target, isLink := strings.Cut(entry, ">")
		path, text, isFile := strings.Cut(path, "=")
		path = filepath.Join(root, path)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, path))
		case isFile:
			err = errors.Join(err, os.WriteFile(path, []byte(text+"\n"), 0o644))
		default:
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return kernel.Sys(root)
}

// card is a PF with a second VF of ours, and what is said more.
func card(t *testing.T, more ...string) VFs {
	t.Helper()
	return VFs{Sys: tree(t, append([]string{
		pciDevices + fakePF + "/driver>../../drivers/mlx5_core",
		pciDevices + fakePF + "/sriov_numvfs=3",
		pciDevices + fakePF + "/virtfn0>../0000:03:00.1",
		pciDevices + fakePF + "/virtfn2>../0000:03:01.4",
		pciDevices + fakePF + "/virtfn1>../" + fakeVF,
		pciDevices + fakeVF + "/physfn>../" + fakePF,
		pciDevices + fakeVF + "/class=0x020000",
	}, more...)...)}
}

func TestFindVF(t *testing.T) {
	ofPF := pciDevices + fakePF + "/net/"
	for name, test := range map[string]struct {
		more []string
		want string // the PF, or a part of the error
	}{
		"alone": {[]string{ofPF + "ens1np0"}, "ens1np0"},
		"beside representors": {[]string{ofPF + "a/phys_port_name=pf0vf0", ofPF + "b/phys_port_name=pf0sf3", ofPF + "ens1np0/phys_port_name=p0"},
			"ens1np0"},
		"without interface": {nil, "PF 0000:03:00.0 has no interface on the node"},
	} {
		t.Run(name, func(t *testing.T) {
			vf, err := card(t, test.more...).Find(fakeVF)
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %s", err, test.want)
				}
				return
			}
			if want := (VF{PCIAddress: fakeVF, PF: test.want, Index: 1, PFDriver: "mlx5_core"}); vf != want {
				t.Errorf("found %+v, want %+v", vf, want)
			}
		})
	}
	if _, err := card(t, ofPF+"ens1np0").Find(fakePF); !errors.Is(err, ErrNoVF) {
		t.Errorf("a PF is taken for a VF: %v", err)
	}
}

// A VF is given away through VFIO only where nothing else comes with it.
func TestVFIODevice(t *testing.T) {
	vf := VF{PCIAddress: fakeVF}
	group := []string{pciDevices + fakeVF + "/iommu_group>../../../../kernel/iommu_groups/42"}
	member := func(address string) string {
		return "kernel/iommu_groups/42/devices/" + address + ">../../../../" + pciDevices + address
	}
	for name, test := range map[string]struct {
		more []string
		want VFIO
		err  error
		text string
	}{
		"no IOMMU":        {nil, VFIO{}, ErrNoIOMMU, ""},
		"alone":           {append(group, member(fakeVF)), VFIO{Group: 42, Device: "/dev/vfio/42"}, nil, ""},
		"beside a bridge": {append(group, member(fakeVF), member("0000:00:1c.0"), pciDevices+"0000:00:1c.0/class=0x060400"), VFIO{Group: 42, Device: "/dev/vfio/42"}, nil, ""},
		"beside a NIC":    {append(group, member(fakeVF), member("0000:03:00.1"), pciDevices+"0000:03:00.1/class=0x020000"), VFIO{}, nil, "its IOMMU group 42 holds 0000:03:00.1 too"},
	} {
		t.Run(name, func(t *testing.T) {
			device, err := card(t, test.more...).VFIO(vf)
			if device != test.want || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("got %+v, %v; want %+v, %v", device, err, test.want, test.err)
			}
			if test.text != "" && (err == nil || !strings.Contains(err.Error(), test.text)) {
				t.Errorf("error %v, want %s", err, test.text)
			}
		})
	}
}

func TestWithoutVFIODriver(t *testing.T) {
	h := card(t, pciDevices+fakeVF+"/iommu_group>../../../../kernel/iommu_groups/42", "kernel/iommu_groups/42/devices", pciDevices+fakeVF+"/driver_override=(null)")
	if _, err := h.BindVFIO(t.Context(), VF{PCIAddress: fakeVF}); !errors.Is(err, ErrNoVFIO) {
		t.Errorf("error %v, want %v", err, ErrNoVFIO)
	}
}

// An RDMA device in another namespace is still in the function's folder, but no more in the class.
func TestRDMADevices(t *testing.T) {
	h := card(t, pciDevices+fakeVF+"/infiniband/mlx5_3", pciDevices+fakeVF+"/infiniband/mlx5_4", "class/infiniband/mlx5_3>../../x/mlx5_3")
	names, err := h.RDMADevices(VF{PCIAddress: fakeVF})
	if err != nil || len(names) != 1 || names[0] != "mlx5_3" {
		t.Errorf("found %q, %v", names, err)
	}
	if err := card(t).MoveRDMA(VF{PCIAddress: fakeVF}, nil); !errors.Is(err, ErrNoRDMA) {
		t.Errorf("a VF without RDMA: %v", err)
	}
}

func TestVFErrorsTellWhatToDo(t *testing.T) {
	vf := VF{PCIAddress: fakeVF, PF: "ens1", Index: 1, PFDriver: "ice"}
	for name, test := range map[string]struct {
		attribute string
		pfUp      bool
		err       error
		want      string
	}{
		"not permitted": {"trust", true, unix.EPERM, "the node agent lacks CAP_NET_ADMIN on the node, or the card's firmware forbids it: operation not permitted"},
		"busy":          {"vlan", true, unix.EBUSY, "the VF is being reset, or something holds it: device or resource busy"},
		"range":         {"vlan", true, unix.ERANGE, "the value is out of the range of the driver ice: numerical result out of range"},
		"down":          {"maxTxRate", false, unix.EINVAL, "PF ens1 is down: bring it up: invalid argument"},
		"gone":          {"driver", true, unix.ENODEV, "the VF is gone, or its driver refuses it: no such device"},
		"read only":     {"driver", true, unix.EROFS, "sysfs is mounted read only: mount the host's /sys into the node agent's container writable, and tell it where: read-only file system"},
		"other":         {"trust", true, unix.ENOMEM, "cannot allocate memory"},
	} {
		t.Run(name, func(t *testing.T) {
			err := refused(vf, test.attribute, "x", test.pfUp, test.err)
			want := "VF 1 of PF ens1 (0000:03:00.2): set " + test.attribute + " to x: " + test.want
			if err.Error() != want || !errors.Is(err, test.err) {
				t.Errorf("error\n%s\nwant\n%s", err, want)
			}
		})
	}
	dirty := &DirtyError{Device: vf.String(), Reasons: []string{"vlan is 5 instead of 0", "trust is on instead of off"}, Err: unix.EBUSY}
	want := "VF 1 of PF ens1 (0000:03:00.2) is not clean: vlan is 5 instead of 0; trust is on instead of off: device or resource busy"
	if dirty.Error() != want || !errors.Is(dirty, unix.EBUSY) {
		t.Errorf("error %s, want %s", dirty, want)
	}
}
