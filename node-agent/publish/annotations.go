package publish

import (
	"encoding/json"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// annotations returns the two annotations that list a pod's addresses.
func annotations(r Report, defaultNetwork string) (map[string]string, error) {
	type podIP struct {
		NetworkName string `json:"networkName"`
		Interface   string `json:"interface"`
		IP          string `json:"ip"`
	}
	ips := []podIP{}
	for _, i := range r.Interfaces {
		for _, a := range i.Addresses {
			ips = append(ips, podIP{i.Plan.Network, i.Plan.Interface, a.Addr().String()})
		}
	}
	text, err := json.Marshal(ips)
	if err != nil {
		return nil, err
	}
	return map[string]string{v1alpha1.AnnotationPodIPs: string(text)}, nil
}
