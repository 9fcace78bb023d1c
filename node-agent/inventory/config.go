package inventory

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// Config names uplinks that sysfs alone does not show to be any, bandwidths that it does not know, and labels of nodes
// that tell where they are.
type Config struct {
	Uplinks []UplinkConfig `json:"uplinks,omitempty"`
	// TopologyKeys are labels of nodes whose values devices carry as attributes, beyond those that they always carry.
	TopologyKeys []string `json:"topologyKeys,omitempty"`
	// VFs are how many virtual functions PFs are to have.
	VFs []VFConfig `json:"vfs,omitempty"`
	// CNINodes are names of nodes, or patterns with *, ? and [] as in path.Match, whose container runtime has no NRI.
	CNINodes []string `json:"cniNodes,omitempty"`
	// CNIPlugins are the types of the CNI plugins, IPAM plugins among them, that may be run for Networks of type CNI.
	CNIPlugins []string `json:"cniPlugins,omitempty"`
}

// CNI tells whether the runtime of a node reaches the agent over CNI.
func (c Config) CNI(node string) bool {
	return slices.ContainsFunc(c.CNINodes, func(pattern string) bool {
		matches, err := path.Match(pattern, node)
		return matches && err == nil
	})
}

// UplinkConfig is about the interfaces that one name or pattern matches. The first match counts.
type UplinkConfig struct {
	// Name of an interface, or a pattern with *, ? and [] as in path.Match.
	Name string `json:"name"`
	// Bandwidth in bit/s of each direction, for example 10G. Unset takes the link's speed.
	Bandwidth *resource.Quantity `json:"bandwidth,omitempty"`
	// Overcommit is how many times the bandwidth pods may be guaranteed in total, between 0.01 and 100: above 1 promises more
	// than there is, below 1 leaves something to the node. Unset is 1.
	Overcommit *resource.Quantity `json:"overcommit,omitempty"`
}

// ParseConfig reads YAML. Unknown fields, fields that stand twice and values that make no sense are errors: a typing
// error would otherwise be a knob that does nothing.
func ParseConfig(text []byte) (Config, error) {
	var config Config
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	for i, uplink := range config.Uplinks {
		if err := uplink.validate(); err != nil {
			return Config{}, fmt.Errorf("configuration: uplinks[%d] %q: %w", i, uplink.Name, err)
		}
	}
	for i, pattern := range config.CNINodes {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return Config{}, fmt.Errorf("configuration: cniNodes[%d] %q: not the name of a node, nor a pattern", i, pattern)
		}
	}
	if err := validateTopologyKeys(config.TopologyKeys); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if err := validateCNIPlugins(config.CNIPlugins); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if err := validateVFs(config.VFs); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return config, nil
}

func (u UplinkConfig) validate() error {
	if u.Name == "" {
		return errors.New("name is missing")
	}
	if strings.ContainsAny(u.Name, "/ \t\n") {
		return errors.New("name is neither the name of an interface nor a pattern")
	}
	if _, err := path.Match(u.Name, ""); err != nil {
		return fmt.Errorf("name is a malformed pattern: %w", err)
	}
	if u.Bandwidth != nil && u.Bandwidth.Sign() <= 0 {
		return fmt.Errorf("bandwidth %s is not greater than 0; leave it out to take the link's speed", u.Bandwidth)
	}
	if o := u.Overcommit; o != nil && (o.Cmp(leastOvercommit) < 0 || o.Cmp(mostOvercommit) > 0) {
		return fmt.Errorf("overcommit %s is not between %s and %s", o, &leastOvercommit, &mostOvercommit)
	}
	return nil
}

var leastOvercommit, mostOvercommit = resource.MustParse("0.01"), resource.MustParse("100")

// match returns the entry for an interface, and whether it names it without a pattern.
func (c Config) match(iface string) (entry UplinkConfig, exact, found bool) {
	for _, u := range c.Uplinks {
		if u.Name == iface {
			return u, true, true
		}
		if ok, err := path.Match(u.Name, iface); ok && err == nil {
			return u, false, true
		}
	}
	return UplinkConfig{}, false, false
}
