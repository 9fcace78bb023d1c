package manifest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const documents = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: a, namespace: demo, annotations: {k8s.v1.cni.cncf.io/resourceName: x/y}}
spec: {config: '{}'}
---
# nothing here
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other}
---
apiVersion: example.com/v1
kind: NetworkAttachmentDefinition
metadata: {name: of-another-group}
---
apiVersion: v1
kind: PodList
items:
- kind: Pod
  metadata: {name: b, annotations: {k8s.v1.cni.cncf.io/networks: a}}
- kind: Pod
  metadata: {name: selects-nothing}
---
kind: Deployment
metadata: {name: c, annotations: {k8s.v1.cni.cncf.io/networks: of-the-deployment-itself}}
spec:
  template: &template
    metadata: {annotations: {v1.multus-cni.io/default-network: d, multinet.dev/networks: o}}
    spec: {hostNetwork: true}
---
kind: CronJob
metadata: {name: e}
spec: {jobTemplate: {spec: {template: {metadata: {annotations: {k8s.v1.cni.cncf.io/networks: a}}}}}}
`

func TestRead(t *testing.T) {
	objects, err := Read("x.yaml", documents, "home")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"NetworkAttachmentDefinition demo/a x.yaml:1:1: {} at x.yaml:4:16, resource x/y",
		"Pod home/b x.yaml:19:3: networks a",
		"Deployment home/c x.yaml:24:1: default d, own o, host network",
		"CronJob home/e x.yaml:31:1: networks a",
	}
	if diff := cmp.Diff(want, describe(objects)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReadAPI: what the API server sends has no lines that a person would know.
func TestReadAPI(t *testing.T) {
	objects, err := ReadAPI(`{"kind": "NetworkAttachmentDefinitionList", "items": [{"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
		"metadata": {"name": "a", "namespace": "demo"}, "spec": {"config": "{\n \"type\": 7}"}}]}`, "home")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"NetworkAttachmentDefinition demo/a metadata:1:1: {\n \"type\": 7} at spec.config:1:1, resource "}
	if diff := cmp.Diff(want, describe(objects)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := objects[0].Definition.Config.Place(11).String(); got != "spec.config:2:10" {
		t.Errorf("the number is said to be at %s", got)
	}
}

func describe(objects []Object) (all []string) {
	for _, o := range objects {
		text := fmt.Sprintf("%s %s/%s %s: ", o.Kind, o.Namespace, o.Name, o.At)
		if d := o.Definition; d != nil {
			text += fmt.Sprintf("%s at %s, resource %s", d.Config.Value, d.Config.At, d.ResourceName)
		}
		if p := o.Pod; p != nil {
			var parts []string
			if p.Networks != nil {
				parts = append(parts, "networks "+p.Networks.Value)
			}
			if p.Default != nil {
				parts = append(parts, "default "+p.Default.Value)
			}
			if p.Own != nil {
				parts = append(parts, "own "+p.Own.Value)
			}
			if p.HostNetwork {
				parts = append(parts, "host network")
			}
			text += strings.Join(parts, ", ")
		}
		all = append(all, text)
	}
	return all
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{documents, "", "- a", "items: []\nkind: List", "a: *b", "kind: Pod\nmetadata: {annotations: &a {k8s.v1.cni.cncf.io/networks: \"\\u0041\"}, x: *a}"} {
		f.Add(seed)
	}
	f.Fuzz(func(_ *testing.T, source string) {
		objects, err := Read("file", source, "home")
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.Definition != nil {
				o.Definition.Config.Place(len(o.Definition.Config.Value))
			}
			if o.Pod != nil && o.Pod.Networks != nil {
				o.Pod.Networks.Place(len(o.Pod.Networks.Value) / 2)
			}
		}
	})
}
