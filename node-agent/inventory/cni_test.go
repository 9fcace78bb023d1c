package inventory

import (
	"fmt"
	"strings"
	"testing"
)

func TestCNIPluginsOfTheConfiguration(t *testing.T) {
	var many []string
	for i := range 32 {
		many = append(many, fmt.Sprintf("p%d", i))
	}
	for list, want := range map[string]string{
		"bridge, host-local, ovn-k8s-cni-overlay": "",
		strings.Join(many[:31], ", "):             "",
		strings.Join(many, ", "):                  "cniPlugins has 32 entries, a device can tell of 31",
		"bridge, ../bridge":                       `cniPlugins[1] "../bridge": not the type of a CNI plugin`,
		`""`:                                      `cniPlugins[0] "": not the type of a CNI plugin`,
		"'*'":                                     `cniPlugins[0] "*": not the type of a CNI plugin`,
		"bridge, bridge":                          `cniPlugins[1] "bridge": stands twice`,
		"host-local, host_local":                  `cniPlugins[1] "host_local": cannot be told from "host-local"`,
		strings.Repeat("x", 33):                   "longer than 32 characters",
	} {
		config, err := ParseConfig([]byte("cniPlugins: [" + list + "]"))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", list, err, want)
		}
		if err == nil && len(config.CNIPlugins) != len(strings.Split(list, ",")) {
			t.Errorf("%s: %v", list, config.CNIPlugins)
		}
	}
}
