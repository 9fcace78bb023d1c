package decide

import (
	"fmt"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// pluginsOf are the CNI plugins that a node must have for the Network; none where it is not of type CNI.
func pluginsOf(network *v1alpha1.Network) []string {
	if network.Spec.CNI == nil {
		return nil
	}
	types, _ := netattach.Plugins(network.Spec.CNI.Config)
	return types
}

// pluginTerms are the terms of the DeviceClass's expression. An unknown domain is an empty map.
func pluginTerms(network *v1alpha1.Network) (terms []string) {
	for _, plugin := range pluginsOf(network) {
		terms = append(terms, fmt.Sprintf("%q in device.attributes[%q]", v1alpha1.CNIPluginAttribute(plugin), v1alpha1.CNIPluginDomain))
	}
	return terms
}

// matchesPlugins is pluginTerms in Go.
func matchesPlugins(network *v1alpha1.Network, device resourcev1.Device) bool {
	for _, plugin := range pluginsOf(network) {
		if _, found := attribute(device, v1alpha1.CNIPluginDomain, v1alpha1.CNIPluginAttribute(plugin)); !found {
			return false
		}
	}
	return true
}

// checkPlugins finds what the CRD's rules cannot.
func checkPlugins(spec *v1alpha1.NetworkSpec) (problems []error) {
	if spec.CNI == nil {
		return nil
	}
	_, found := netattach.Plugins(spec.CNI.Config)
	for _, p := range found {
		path := "spec.cni.config " + p.At.String()
		if p.Path != "" {
			path += ": " + p.Path
		}
		problems = append(problems, fmt.Errorf("%s: %s", path, p.Text))
	}
	return problems
}

func noPlugins(network *v1alpha1.Network) string {
	return fmt.Sprintf("No node has all of the CNI plugins %s and may run them; list them in cniPlugins of the agents' configuration "+
		"(ConfigMap multinet-agent), and give the agents what they need to run them (manifests/agent/cni-plugins.yaml).", strings.Join(pluginsOf(network), ", "))
}
