package netattach

import (
	"math"
	"regexp"

	"k8s.io/utils/ptr"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// interfaceName is the pattern of v1alpha1.InterfaceName.
var interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)

var macvlanModes = map[string]v1alpha1.MacvlanMode{
	"": v1alpha1.MacvlanModeBridge, "bridge": v1alpha1.MacvlanModeBridge, "vepa": v1alpha1.MacvlanModeVEPA,
	"private": v1alpha1.MacvlanModePrivate, "passthru": v1alpha1.MacvlanModePassthru,
}

func (t *translator) readMacvlan(f *jsonpos.Fields, spec *v1alpha1.NetworkSpec) {
	spec.Type = v1alpha1.NetworkTypeMacvlan
	spec.Macvlan = &v1alpha1.MacvlanSpec{}
	master, _ := f.Text("master")
	switch {
	case master == "":
		t.obstacle(f, "master", "is missing, which means the interface of the node's default route: an uplink has a name")
	case !interfaceName.MatchString(master):
		t.obstacle(f, "master", "%q cannot be the name of an uplink: at most 15 letters, digits, '.', '_' and '-'", master)
	default:
		spec.Macvlan.Uplink.Names = []v1alpha1.InterfaceName{v1alpha1.InterfaceName(master)}
	}
	mode, _ := f.Text("mode")
	var known bool
	if spec.Macvlan.Mode, known = macvlanModes[mode]; !known {
		f.Refuse("mode", "%q is not a macvlan mode: bridge, private, vepa, passthru", mode)
	}
	spec.MTU = t.readMTU(f)
	if mac, _ := f.Text("mac"); mac != "" {
		t.obstacle(f, "mac", "a Network gives each pod a MAC of its own")
	}
	if f.Bool("linkInContainer") {
		t.obstacle(f, "linkInContainer", "an uplink is an interface of the node")
	}
	if n, _ := f.Int("bcqueuelen", math.MaxUint32); n > 0 {
		t.obstacle(f, "bcqueuelen", "a Network leaves the broadcast queue as it is")
	}
}

// readMTU takes 0 for the uplink's, as the plugin does.
func (t *translator) readMTU(f *jsonpos.Fields) *int32 {
	mtu, found := f.Int("mtu", 65535)
	switch {
	case !found || mtu == 0:
		return nil
	case mtu < 68:
		f.Refuse("mtu", "is %d: IPv4 needs at least 68", mtu)
	}
	return ptr.To(int32(mtu))
}
