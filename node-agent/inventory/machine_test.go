package inventory

import (
	"io/fs"
	"path"
	"strings"
	"testing/fstest"
)

// machine is a /sys that is put together as the kernel does it: folders below devices, links to them below class.
type machine fstest.MapFS

func newMachine() machine { return machine{} }

func (m machine) file(name, content string) {
	m[name] = &fstest.MapFile{Data: []byte(content + "\n"), Mode: 0o444}
}

// link makes from point at to, both from the root of /sys.
func (m machine) link(from, to string) {
	up := strings.Repeat("../", strings.Count(from, "/"))
	m[from] = &fstest.MapFile{Data: []byte(up + to), Mode: fs.ModeSymlink | 0o777}
}

func (m machine) folder(name string) { m[name] = &fstest.MapFile{Mode: fs.ModeDir | 0o755} }

// netdev makes an interface whose folder is below a device of the machine, or below devices/virtual where parent is "".
func (m machine) netdev(parent, name string, attributes map[string]string) {
	dir := "devices/virtual/net/" + name
	if parent != "" {
		dir = path.Join(parent, "net", name)
		m.link(dir+"/device", parent)
	}
	for key, value := range map[string]string{
		"type": "1", "mtu": "1500", "address": "02:00:00:00:00:01", "carrier": "1", "netdev_group": "0", "uevent": "INTERFACE=" + name,
	} {
		m.file(dir+"/"+key, value)
	}
	for key, value := range attributes {
		m.file(dir+"/"+key, value)
	}
	m.link("class/net/"+name, dir)
}

func (m machine) dir(iface string) string {
	dir, err := realPath(fstest.MapFS(m), "class/net/"+iface)
	if err != nil {
		panic(err)
	}
	return dir
}

// function makes a PCI function below a bus, with a driver.
func (m machine) function(parent, address, driver, vendor, numa string) string {
	dir := path.Join("devices", parent, address)
	m.file(dir+"/vendor", vendor)
	m.file(dir+"/numa_node", numa)
	m.folder("bus/pci/drivers/" + driver)
	m.link(dir+"/driver", "bus/pci/drivers/"+driver)
	return dir
}

// virtual makes a link of a kind without hardware, over others.
func (m machine) virtual(name, kind string, lowers ...string) {
	uevent := "INTERFACE=" + name + "\nIFINDEX=7"
	if kind != "" {
		uevent = "DEVTYPE=" + kind + "\n" + uevent
	}
	m.netdev("", name, map[string]string{"uevent": uevent})
	for _, lower := range lowers {
		m.link(m.dir(name)+"/lower_"+lower, m.dir(lower))
	}
}

// enslave makes a link a port of another.
func (m machine) enslave(port, master string) {
	m.link(m.dir(port)+"/master", m.dir(master))
	m.link(m.dir(master)+"/lower_"+port, m.dir(port))
}
