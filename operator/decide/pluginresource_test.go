package decide

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// withDevices is a container that requests n devices of a resource.
func withDevices(name, n string) corev1.Container {
	return corev1.Container{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceName(name): resource.MustParse(n)}}}
}

func deviceNetworks() map[string]*v1alpha1.Network {
	networks := map[string]*v1alpha1.Network{"plain": network("plain")}
	for name, of := range map[string]string{"a": "intel.com/nic", "b": "intel.com/nic", "c": "other.com/nic", "none": ""} {
		n := pluginNetwork(lanConfig)
		n.Name, n.Spec.CNI.ResourceName = name, of
		networks[name] = n
	}
	return networks
}

// TestDevicesOfInterfaces: the n-th interface that needs a device of a resource gets the n-th, and containers have to request as many.
func TestDevicesOfInterfaces(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	sidecar := withDevices("intel.com/nic", "1")
	sidecar.RestartPolicy = &always
	containers := func(list ...corev1.Container) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.Containers = list }
	}
	for name, c := range map[string]struct {
		selects string
		edit    func(*corev1.Pod)
		want    string
		says    []string
	}{
		"none":                 {selects: "plain,none", edit: containers(), want: "- -"},
		"one":                  {selects: "a", edit: containers(withDevices("intel.com/nic", "1")), want: "0"},
		"of one resource":      {selects: "a,plain,b,a", edit: containers(withDevices("intel.com/nic", "2"), withDevices("intel.com/nic", "1")), want: "0 - 1 2"},
		"of two resources":     {selects: "a,c,b", edit: containers(withDevices("intel.com/nic", "2"), withDevices("other.com/nic", "1")), want: "0 0 1"},
		"of a sidecar":         {selects: "a", edit: func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{sidecar} }, want: "0"},
		"more than are needed": {selects: "a", edit: containers(withDevices("intel.com/nic", "3")), want: "0"},
		"not requested": {selects: "plain,a", edit: containers(withDevices("other.com/nic", "1")),
			says: []string{`network "a" interface net2 needs a device of intel.com/nic`, "the pod needs 1, and its containers request 0", `create the pod again with resources.limits["intel.com/nic"]: 1 in one of its containers`}},
		"too few": {selects: "a,b", edit: containers(withDevices("intel.com/nic", "1")),
			says: []string{`network "b" interface net2`, "the pod needs 2, and its containers request 1", `resources.limits["intel.com/nic"]: 2`}},
		"of an init container": {selects: "a", edit: func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{withDevices("intel.com/nic", "1")} },
			says: []string{"its containers request 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			planned, refusal := Plan(PodSnapshot{Pod: podSelecting(c.selects, c.edit), Networks: deviceNetworks()})
			if (refusal != nil) != (c.says != nil) {
				t.Fatalf("%+v", refusal)
			}
			if refusal != nil {
				refusal.mustSay(t, c.says)
				if refusal.Reason != v1alpha1.ReasonDeviceNotRequested {
					t.Error(refusal.Reason)
				}
				return
			}
			got := ""
			for i, p := range planned {
				index := "-"
				if of := Attachment(podSelecting(c.selects), p, nil).Spec.ResourceIndex; of != nil {
					index = fmt.Sprint(*of)
				}
				got += map[bool]string{true: " "}[i > 0] + index
			}
			if got != c.want {
				t.Errorf("devices %s, want %s", got, c.want)
			}
		})
	}
}

// TestDeviceOfARunningPod: what was set aside when the pod came cannot be had later, not even by a claim of the pod that carries nothing.
func TestDeviceOfARunningPod(t *testing.T) {
	for name, c := range map[string]struct {
		created, now string
		detached     bool
		want         int
	}{
		"added":           {created: "plain", now: "plain,a"},
		"taken out":       {created: "a,plain,b", now: "plain@net2,b@net3", want: 2},
		"taken and added": {created: "a", now: "a@other", detached: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := editedPod(c.created, c.now)
			s.Networks = deviceNetworks()
			s.Pod.Spec.Containers = []corev1.Container{withDevices("intel.com/nic", "9")}
			if c.detached {
				clear(s.Attached)
			}
			planned, refusal := Plan(s)
			if c.want > 0 {
				if refusal != nil || len(planned) != c.want {
					t.Errorf("%d interfaces, %+v", len(planned), refusal)
				}
				return
			}
			if refusal == nil || refusal.Reason != v1alpha1.ReasonNeedsScheduling {
				t.Fatalf("%+v", refusal)
			}
			refusal.mustSay(t, []string{`network "a" interface`, "need a device of intel.com/nic", "create the pod anew with it"})
		})
	}
}
