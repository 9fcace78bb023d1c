package inventory

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// alwaysPublished are the labels whose values every device carries.
var alwaysPublished = []string{
	v1alpha1.DefaultTopologyKey, "kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
}

// maxTopologyKeys leaves a device with room to spare: it has at most 32 attributes and capacities.
const maxTopologyKeys = 16

// topologyKey is the pattern of spec.rackLocal.topologyKey: what names an attribute of a device as well as a label.
var topologyKey = regexp.MustCompile(`^([a-z0-9]|[a-z0-9][-a-z0-9.]{0,61}[a-z0-9])/([A-Za-z]|[A-Za-z][-A-Za-z0-9_.]{0,30}[A-Za-z0-9])$`)

// reserved are the domains of the attributes that tell what a device is.
var reserved = []string{v1alpha1.DriverName, "resource.kubernetes.io"}

// Topology picks the labels that tell where a node is, by key. Labels without a value are left out.
func (c Config) Topology(labels map[string]string) map[string]string {
	topology := map[string]string{}
	for _, key := range slices.Concat(alwaysPublished, c.TopologyKeys) {
		if value := labels[key]; value != "" {
			topology[key] = value
		}
	}
	return topology
}

func validateTopologyKeys(keys []string) error {
	if len(keys) > maxTopologyKeys {
		return fmt.Errorf("topologyKeys: %d keys, at most %d fit into a device", len(keys), maxTopologyKeys)
	}
	attributes := map[string]string{}
	for _, key := range alwaysPublished {
		attributes[attribute(key)] = key
	}
	for i, key := range keys {
		if err := validateTopologyKey(key); err != nil {
			return fmt.Errorf("topologyKeys[%d] %q: %w", i, key, err)
		}
		// Of two labels with one attribute, a pod would be placed by one and get the addresses of the other's rack.
		if other, taken := attributes[attribute(key)]; taken && (other != key || slices.Contains(keys[:i], key)) {
			return fmt.Errorf("topologyKeys[%d] %q: has the device attribute of %q", i, key, other)
		}
		attributes[attribute(key)] = key
	}
	return nil
}

func validateTopologyKey(key string) error {
	if !topologyKey.MatchString(key) {
		return fmt.Errorf("is not a label's key of the form domain/name, in which the name begins with a letter and has at most 32 characters")
	}
	domain, _ := v1alpha1.TopologyAttribute(key)
	if key != v1alpha1.DefaultTopologyKey && slices.Contains(reserved, domain) {
		return fmt.Errorf("names of the domain %s are attributes that tell what a device is", domain)
	}
	return nil
}

func attribute(key string) string {
	domain, name := v1alpha1.TopologyAttribute(key)
	return domain + "/" + name
}
