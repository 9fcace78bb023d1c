package inventory

import (
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// nic reads one folder below class/net.
type nic struct {
	sys  fs.FS
	path string
}

const (
	ethernet = "1" // ARPHRD_ETHER
	megabit  = 1_000_000
)

// notByPattern starts the names that networks of pods and containers give their links. A pattern such as * does not
// mean these; the full name in the configuration does.
var notByPattern = []string{"veth", "cali", "lxc", "cilium", "cni", "cbr", "flannel", "kube", "antrea", "ovn", "ovs",
	"weave", "docker", "br-", "virbr", "vnet", "tap", "tun", "nodelocaldns", "dummy"}

// isUplink decides from what the kernel says of the link, then from the configuration.
func (n nic) isUplink(name string, configured, exact bool) bool {
	if name == "lo" || n.text("type") != ethernet || n.isPort() || n.isOurs() {
		return false
	}
	switch kind := n.kind(); kind {
	case "wlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "bridge", "wwan":
		// What has no stations behind it or takes no second MAC.
		return false
	case "bond", "vlan":
		return n.overHardware() || configured
	}
	if n.isVF() {
		return false
	}
	if n.exists("device") {
		return true
	}
	byPattern := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	return configured && (exact || !slices.ContainsFunc(notByPattern, byPattern))
}

// isPort reports whether a bridge, bond, team or virtual switch owns the link.
func (n nic) isPort() bool { return n.exists("brport") || n.exists("master") }

// isOurs reports whether the node agent made the link, for a VLAN, or has to bring it back to what it was before a pod had it.
func (n nic) isOurs() bool {
	_, marked := plan.MarkedNIC(n.text("ifalias"))
	return marked || n.text("netdev_group") == strconv.Itoa(plan.LinkGroup)
}

// isVF reports whether the link is a virtual function that this machine made. Those are offered whole; as uplinks
// they would be pulled from under the pods. A virtual machine does not see that its own NIC is one.
func (n nic) isVF() bool { return n.exists("device/physfn") }

// kind is the DEVTYPE of virtual links; empty for hardware and veth.
func (n nic) kind() string {
	for line := range strings.Lines(n.text("uevent") + "\n") {
		if kind, ok := strings.CutPrefix(strings.TrimSpace(line), "DEVTYPE="); ok {
			return kind
		}
	}
	return ""
}

// overHardware reports whether all links below a bond or VLAN, at any depth, end in hardware.
func (n nic) overHardware() bool { return n.overHardwareTo(4) }

func (n nic) overHardwareTo(depth int) bool {
	if n.exists("device") {
		return true
	}
	entries, err := fs.ReadDir(n.sys, n.path)
	if err != nil || depth == 0 {
		return false
	}
	lowers := 0
	for _, entry := range entries {
		lower, ok := strings.CutPrefix(entry.Name(), "lower_")
		if !ok {
			continue
		}
		lowers++
		if !(nic{n.sys, netClass + "/" + lower}).overHardwareTo(depth - 1) {
			return false
		}
	}
	return lowers > 0
}

// link fills in what is known of every interface.
func (n nic) link(device *Device, entry UplinkConfig) (err error) {
	if device.MTU, err = n.number("mtu"); err != nil {
		return err // the one attribute that every interface has: gone
	}
	device.Carrier = n.text("carrier") == "1"
	device.LinkSpeed = n.speed()
	device.offer(entry)
	return nil
}

// offer fills in what depends on the speed and on the configuration.
func (d *Device) offer(entry UplinkConfig) {
	d.Bandwidth = d.LinkSpeed
	if entry.Bandwidth != nil {
		d.Bandwidth = entry.Bandwidth.Value()
	}
	d.Promised = entry.promised(d.Bandwidth)
	if d.LinkSpeed == 0 {
		d.LinkSpeed = d.Bandwidth
	}
}

// speed is what the driver says in Mbit/s; -1, nothing or an error stand for unknown, the last while the link is down.
func (n nic) speed() int64 {
	speed, err := n.number("speed")
	if err != nil || speed <= 0 || speed > 1<<31 {
		return 0
	}
	return int64(speed) * megabit
}

var (
	pciAddress = regexp.MustCompile(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)
	pciRoot    = regexp.MustCompile(`^pci[0-9a-f]{4,}:[0-9a-f]{2}$`)
)

// hardware fills in what is known of the device behind the link. The PCI function may be some levels up, as the
// parent of a virtio device is.
func (n nic) hardware(device *Device) {
	path, err := realPath(n.sys, n.path+"/device")
	if err != nil {
		return
	}
	if driver, err := realPath(n.sys, path+"/driver"); err == nil {
		device.Driver = driver[strings.LastIndex(driver, "/")+1:]
	}
	elements := strings.Split(path, "/")
	for i, element := range slices.Backward(elements) {
		if device.PCIAddress == "" && pciAddress.MatchString(element) {
			device.PCIAddress = element
			n.function(strings.Join(elements[:i+1], "/"), device)
		}
		if pciRoot.MatchString(element) {
			device.PCIeRoot = element
		}
	}
}

// function reads the attributes of the PCI function.
func (n nic) function(path string, device *Device) {
	pci := nic{n.sys, path}
	device.Vendor = pci.text("vendor")
	if node, err := pci.number("numa_node"); err == nil && node >= 0 {
		device.NUMANode = &node
	}
}

func (n nic) exists(name string) bool {
	_, err := fs.Stat(n.sys, n.path+"/"+name)
	return err == nil
}

// text is the trimmed content of an attribute, empty where it cannot be read.
func (n nic) text(name string) string {
	content, err := fs.ReadFile(n.sys, n.path+"/"+name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

func (n nic) number(name string) (int, error) {
	content, err := fs.ReadFile(n.sys, n.path+"/"+name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(content)))
}
