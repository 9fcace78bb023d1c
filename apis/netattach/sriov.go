package netattach

import (
	"math"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/ptr"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// resourcePrefix stands before the name of the PF in the attribute k8s.cni.cncf.io/resourceName of Multinet's devices.
const resourcePrefix = v1alpha1.DriverName + "/"

func (t *translator) readSRIOV(f *jsonpos.Fields, spec *v1alpha1.NetworkSpec) {
	spec.Type = v1alpha1.NetworkTypeSRIOV
	spec.SRIOV = &v1alpha1.SRIOVSpec{DeviceType: v1alpha1.VFDeviceTypeNetDevice}
	pf, ours := strings.CutPrefix(t.definition.ResourceName, resourcePrefix)
	switch {
	case t.definition.ResourceName == "":
		t.obstacle(f, "", "the annotation k8s.v1.cni.cncf.io/resourceName is missing, so nothing says which VFs are meant: %sPF for those of the interface PF", resourcePrefix)
	case ours && !interfaceName.MatchString(pf):
		t.obstacle(f, "", "resource %q names no interface: write %sPF into the annotation k8s.v1.cni.cncf.io/resourceName for the VFs of the interface PF",
			t.definition.ResourceName, resourcePrefix)
	case !ours:
		t.obstacle(f, "", "resource %q is that of a device plugin, of which the plugin sriov gets a VF: write %sPF into the annotation k8s.v1.cni.cncf.io/resourceName for those of the interface PF",
			t.definition.ResourceName, resourcePrefix)
	default:
		spec.SRIOV.Device.PFNames = []v1alpha1.InterfaceName{v1alpha1.InterfaceName(pf)}
	}
	t.readVFVLAN(f, spec.SRIOV)
	t.readVFSwitches(f, spec.SRIOV)
	t.readVFRates(f, spec.SRIOV)
	for _, key := range []string{"deviceID", "mac", "vlan_trunk"} {
		if value, _ := f.Text(key); value != "" {
			t.obstacle(f, key, "a Network gives each pod a VF and a MAC of its own, and has one VLAN at most")
		}
	}
	t.ignore(f, "the agent has its own log", "logLevel", "logFile")
}

func (t *translator) readVFVLAN(f *jsonpos.Fields, vf *v1alpha1.SRIOVSpec) {
	vlan, _ := f.Int("vlan", 4094)
	if vlan > 0 {
		vf.VLAN = ptr.To(int32(vlan))
	}
	if qos, found := f.Int("vlanQoS", 7); found && qos > 0 {
		vf.VLANQoS = ptr.To(int32(qos))
	}
	proto, _ := f.Text("vlanProto")
	proto = strings.ToLower(proto)
	switch {
	case proto != "" && proto != "802.1q" && proto != "802.1ad":
		f.Refuse("vlanProto", "%q is not 802.1q or 802.1ad", proto)
	case vlan > 0:
		vf.VLANProto = v1alpha1.VLANProtocol(proto)
	case vf.VLANQoS != nil || proto == "802.1ad":
		f.Refuse("vlan", "is 0 or missing, where vlanQoS or vlanProto needs a VLAN")
	}
}

func (t *translator) readVFSwitches(f *jsonpos.Fields, vf *v1alpha1.SRIOVSpec) {
	vf.SpoofCheck, vf.Trust = t.readSwitch(f, "spoofchk"), t.readSwitch(f, "trust")
	if vf.SpoofCheck == nil {
		t.note(f, "spoofchk", "is missing: sriov-cni leaves it as it finds it, a Network turns it on")
		vf.SpoofCheck = ptr.To(true)
	}
	if vf.Trust == nil {
		t.note(f, "trust", "is missing: sriov-cni leaves it as it finds it, a Network turns it off")
		vf.Trust = ptr.To(false)
	}
	if state, _ := f.Text("link_state"); state != "" {
		states := map[string]v1alpha1.VFLinkState{"auto": "Auto", "enable": "Enable", "disable": "Disable"}
		if vf.LinkState = states[state]; vf.LinkState == "" {
			f.Refuse("link_state", "%q is not auto, enable or disable", state)
		}
	}
}

func (t *translator) readSwitch(f *jsonpos.Fields, key string) *bool {
	switch value, _ := f.Text(key); value {
	case "":
		return nil
	case "on", "off":
		return ptr.To(value == "on")
	default:
		f.Refuse(key, "%q is not on or off", value)
		return nil
	}
}

const mbit = 1_000_000

// readVFRates: sriov-cni counts in Mbit/s, and 0 is no limit.
func (t *translator) readVFRates(f *jsonpos.Fields, vf *v1alpha1.SRIOVSpec) {
	lowest, highest := readRate(f, "min_tx_rate"), readRate(f, "max_tx_rate")
	if lowest != nil && highest != nil && lowest.Cmp(*highest) > 0 {
		f.Refuse("min_tx_rate", "is greater than max_tx_rate")
	}
	vf.MinTxRate, vf.MaxTxRate = lowest, highest
}

func readRate(f *jsonpos.Fields, key string) *resource.Quantity {
	n, _ := f.Int(key, math.MaxInt32)
	if n == 0 {
		return nil
	}
	return resource.NewQuantity(n*mbit, resource.DecimalSI)
}
