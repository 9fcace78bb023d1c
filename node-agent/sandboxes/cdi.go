package sandboxes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// CDI is the folder in which container runtimes look for devices, one file of ours for each request of a claim whose VF is driven by
// a program. Containers that name the claim get the device from there; all others of the pod get it over NRI.
type CDI struct{ Dir string }

// The Container Device Interface, tags.cncf.io/container-device-interface, of which this is all that is needed.
type (
	cdiSpec struct {
		Version string      `json:"cdiVersion"`
		Kind    string      `json:"kind"`
		Devices []cdiDevice `json:"devices"`
	}
	cdiDevice struct {
		Name  string   `json:"name"`
		Edits cdiEdits `json:"containerEdits"`
	}
	cdiEdits struct {
		Nodes []cdiNode `json:"deviceNodes"`
	}
	cdiNode struct {
		Path string `json:"path"`
	}
)

const (
	cdiVersion = "0.6.0"
	cdiKind    = v1alpha1.DriverName + "/vf"
	cdiPrefix  = v1alpha1.DriverName + "-"
	cdiSuffix  = ".json"
)

func (c CDI) path(claim *plan.Claim) string {
	return filepath.Join(c.Dir, cdiPrefix+cdiName(claim)+cdiSuffix)
}

func cdiName(claim *plan.Claim) string { return string(claim.UID) + "-" + claim.BaseRequest() }

// Write returns the name by which a runtime finds the device of an attachment. The file is there as a whole or not at all.
func (c CDI) Write(a plan.Attachment) (id string, err error) {
	spec := cdiSpec{Version: cdiVersion, Kind: cdiKind, Devices: []cdiDevice{{
		Name: cdiName(a.Claim), Edits: cdiEdits{Nodes: []cdiNode{{vfioControl}, {vfioPath + a.Device.IOMMUGroup}}},
	}}}
	content, err := json.Marshal(spec)
	if err != nil {
		return "", fmt.Errorf("encode the CDI device of claim %s: %w", a.Claim.Name, err)
	}
	path := c.path(a.Claim)
	unfinished := path + ".new" // no name that a runtime reads
	if err := os.WriteFile(unfinished, content, 0o600); err != nil {
		return "", fmt.Errorf("write the CDI device of claim %s: %w", a.Claim.Name, err)
	}
	if err := os.Rename(unfinished, path); err != nil {
		return "", fmt.Errorf("write the CDI device of claim %s: %w", a.Claim.Name, err)
	}
	return cdiKind + "=" + cdiName(a.Claim), nil
}

// Remove removes what Write wrote for an attachment, or nothing.
func (c CDI) Remove(a plan.Attachment) {
	if a.Claim != nil && a.VF != nil && a.VF.VFIO {
		_ = os.Remove(c.path(a.Claim))
	}
}

// Prune removes the files of all but the attachments of pods.
func (c CDI) Prune(pods []plan.Pod) error {
	keep := map[string]bool{}
	for _, pod := range pods {
		for _, a := range pod.Attachments {
			if a.Claim != nil {
				keep[c.path(a.Claim)] = true
			}
		}
	}
	entries, err := os.ReadDir(c.Dir)
	for _, entry := range entries {
		path := filepath.Join(c.Dir, entry.Name())
		if strings.HasPrefix(entry.Name(), cdiPrefix) && !keep[path] {
			_ = os.Remove(path)
		}
	}
	if err != nil {
		return fmt.Errorf("look for CDI devices of former pods: %w", err)
	}
	return nil
}

// CDIDevices are the names of the devices that containers get which name a request that was prepared.
func (k *Keeper) CDIDevices(r Request) ([]string, error) {
	pod, _ := k.state.plan(r.PodUID)
	for _, a := range pod.Attachments {
		if a.Claim != nil && a.Claim.UID == r.Claim.UID && a.Claim.BaseRequest() == r.Claim.BaseRequest() && a.VF != nil && a.VF.VFIO {
			id, err := k.CDI.Write(a)
			if err != nil {
				return nil, err
			}
			return []string{id}, nil
		}
	}
	return nil, nil
}
