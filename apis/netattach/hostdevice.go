package netattach

import (
	"net"
	"path"
	"regexp"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// sysDevices is where the kernel shows its devices.
const sysDevices = "/sys/devices/"

// pciAddress is the pattern of UplinkSelector.pciAddresses.
var pciAddress = regexp.MustCompile(`^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// readHostDevice knows a NIC by its name, its MAC or its PCI address, which nodes publish.
func (t *translator) readHostDevice(f *jsonpos.Fields, spec *v1alpha1.NetworkSpec) {
	spec.Type, spec.HostDevice = v1alpha1.NetworkTypeHostDevice, &v1alpha1.HostDeviceSpec{}
	key, value := t.deviceKey(f)
	pci, _ := f.Text("pciBusID")
	switch {
	case t.definition.ResourceName != "":
		t.obstacle(f, "", "the device is the one that resource %q of the annotation %s stands for, not one that the definition names", t.definition.ResourceName, npwg.AnnotationResourceName)
	case pci != "" && (key != "" || textIn(f, "ipam", "type") == ""):
		// The plugin asks it for its driver, and so may leave the device on the node, also where it finds the device by another key.
		t.obstacle(f, "pciBusID", "the device may be one that a program drives (DPDK), which a Network does not give: with ipam, and without device, hwaddr and kernelpath, it is a NIC")
	case pci != "":
		t.readPCIAddress(f, strings.ToLower(pci), &spec.HostDevice.NIC)
	case key == "device" && !interfaceName.MatchString(value):
		t.obstacle(f, key, "%q cannot be the name of a NIC: at most 15 letters, digits, '.', '_' and '-'", value)
	case key == "device":
		spec.HostDevice.NIC.Names = []v1alpha1.InterfaceName{v1alpha1.InterfaceName(value)}
	case key == "hwaddr":
		t.readHWAddr(f, value, &spec.HostDevice.NIC)
	case key == "kernelpath" && !strings.HasPrefix(value, sysDevices):
		f.Refuse(key, "%q does not begin with %s", value, sysDevices)
	case key == "kernelpath" && pciAddress.MatchString(path.Base(value)):
		spec.HostDevice.NIC.PCIAddresses = []string{path.Base(value)}
	case key == "kernelpath":
		t.obstacle(f, key, "does not end with a PCI address, and nodes publish no other place below %s: name the NIC by device or hwaddr", sysDevices)
	case textIn(f, "runtimeConfig", "deviceID") == "": // of one that a runtime names readCommon says what becomes
		f.Refuse("", "names no device: the plugin needs device, hwaddr, kernelpath or pciBusID")
	}
	for _, key := range []string{"dpdkMode", "DPDKMode"} { // the plugin reads keys whatever their case
		if f.Bool(key) {
			t.obstacle(f, key, "leaves the device on the node, where a Network moves it into the pod")
		}
	}
}

// deviceKey is the key by which the plugin finds the device: the first one that has a value, in its order. pciBusID, which comes after
// them, does more than that.
func (t *translator) deviceKey(f *jsonpos.Fields) (first, value string) {
	for _, key := range []string{"device", "hwaddr", "kernelpath"} {
		text, _ := f.Text(key)
		switch {
		case text == "":
		case first == "":
			first, value = key, text
		default:
			t.note(f, key, "has no effect: the plugin finds the device by %s", first)
		}
	}
	return first, value
}

// textIn is the text of a key in an object, "" where one of the two is not there.
func textIn(f *jsonpos.Fields, object, key string) string {
	fields, found := f.Object(object)
	if !found {
		return ""
	}
	text, _ := fields.Text(key)
	return text
}

// readPCIAddress writes the domain, without which the plugin finds no device either.
func (t *translator) readPCIAddress(f *jsonpos.Fields, value string, nic *v1alpha1.UplinkSelector) {
	if !pciAddress.MatchString(value) {
		f.Refuse("pciBusID", "%q is not a PCI address with its domain, such as 0000:3b:00.1", value)
		return
	}
	nic.PCIAddresses = []string{value}
}

// readHWAddr writes the MAC as the kernel does.
func (t *translator) readHWAddr(f *jsonpos.Fields, value string, nic *v1alpha1.UplinkSelector) {
	mac, err := net.ParseMAC(value)
	switch {
	case err != nil:
		f.Refuse("hwaddr", "%q is not a MAC", value)
	case len(mac) != ethernetMAC:
		t.obstacle(f, "hwaddr", "%s is not a MAC of Ethernet, and a Network has no other NICs", mac)
	default:
		nic.MACs = []string{mac.String()}
	}
}
