package inventory

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// maxCNIPlugins is how many attributes a device has room for, beside its kind.
const maxCNIPlugins = 31

// pluginType is the name of a file without a path.
var pluginType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// validateCNIPlugins: two plugins of one attribute could not be told apart.
func validateCNIPlugins(list []string) error {
	if len(list) > maxCNIPlugins {
		return fmt.Errorf("cniPlugins has %d entries, a device can tell of %d", len(list), maxCNIPlugins)
	}
	attributes := map[string]string{}
	for i, plugin := range list {
		attribute := v1alpha1.CNIPluginAttribute(plugin)
		var err error
		switch other, taken := attributes[attribute]; {
		case !pluginType.MatchString(plugin):
			err = errors.New("not the type of a CNI plugin, which is the name of its file")
		case len(attribute) > v1alpha1.MaxCNIPluginName:
			err = fmt.Errorf("longer than %d characters, the most that a device can tell", v1alpha1.MaxCNIPluginName)
		case taken && other == plugin:
			err = errors.New("stands twice")
		case taken:
			err = fmt.Errorf("cannot be told from %q", other)
		}
		if err != nil {
			return fmt.Errorf("cniPlugins[%d] %q: %w", i, plugin, err)
		}
		attributes[attribute] = plugin
	}
	return nil
}

// CNIDevice stands for the CNI plugins that may run on the node and are there. No uplink has its name.
func CNIDevice(plugins []string) Device {
	return Device{Name: v1alpha1.CNIDeviceName, Kind: v1alpha1.DeviceKindCNI, Plugins: plugins, Carrier: true}
}
