package inventory

import (
	"errors"
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/labels"
)

// VFConfig is how many VFs a PF is to have on the nodes that a selector admits. The first entry for a PF that admits a node counts.
type VFConfig struct {
	// PF is the interface name of the physical function.
	PF string `json:"pf"`
	// NumVFs is from 1 to what the card can have. A PF is never made to have fewer than it has.
	NumVFs int `json:"numVFs"`
	// NodeSelector are labels that the node must have; none admit every node.
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
}

// maxVFs is what the standard has room for.
const maxVFs = 65535

var interfaceName = regexp.MustCompile(`^[^/\s:]{1,15}$`)

func (v VFConfig) validate() error {
	if !interfaceName.MatchString(v.PF) {
		return errors.New("pf is not the name of an interface")
	}
	if v.NumVFs < 1 || v.NumVFs > maxVFs {
		return fmt.Errorf("numVFs %d is not between 1 and %d", v.NumVFs, maxVFs)
	}
	_, err := labels.ValidatedSelectorFromSet(v.NodeSelector)
	if err != nil {
		return fmt.Errorf("nodeSelector: %w", err)
	}
	return nil
}

// VFsOf returns the entries that count for a node with these labels, in their order.
func (c Config) VFsOf(node map[string]string) (list []VFConfig) {
	seen := map[string]bool{}
	for _, v := range c.VFs {
		if !seen[v.PF] && labels.SelectorFromSet(v.NodeSelector).Matches(labels.Set(node)) {
			seen[v.PF] = true
			list = append(list, v)
		}
	}
	return list
}

// validateVFs refuses an entry that another before it hides, which would be a knob that does nothing.
func validateVFs(list []VFConfig) error {
	everywhere := map[string]bool{}
	for i, v := range list {
		err := v.validate()
		if err == nil && everywhere[v.PF] {
			err = errors.New("an entry before it is for this pf on all nodes")
		}
		if err != nil {
			return fmt.Errorf("vfs[%d] %q: %w", i, v.PF, err)
		}
		everywhere[v.PF] = everywhere[v.PF] || len(v.NodeSelector) == 0
	}
	return nil
}
