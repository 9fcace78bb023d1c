// Package manifest reads what the lint command is about out of YAML or JSON: NetworkAttachmentDefinitions, pods, and the
// objects that have a pod template, with the places of what people wrote into them.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Object is a NetworkAttachmentDefinition, or something with pods.
type Object struct {
	Kind, Namespace, Name string
	At                    Place
	// Definition is set for a NetworkAttachmentDefinition.
	Definition *Definition
	// Pod is set where there is one, or a template of one, that selects networks.
	Pod *Pod
}

// Definition holds what counts of a NetworkAttachmentDefinition.
type Definition struct {
	// Config is spec.config; its Value is empty where there is none.
	Config Text
	// NotText tells that spec.config is there and is no string.
	NotText      bool
	ResourceName string
}

// Pod holds the annotations that select networks; absent ones are nil.
type Pod struct {
	// Networks is k8s.v1.cni.cncf.io/networks, Default v1.multus-cni.io/default-network, Own multinet.dev/networks.
	Networks, Default, Own *Text
	HostNetwork            bool
}

// Read returns the objects of a file of YAML documents or JSON, lists resolved. Other kinds of objects are left out.
// Objects without a namespace are given one.
func Read(file, source, namespace string) ([]Object, error) {
	r := reader{namespace: namespace, at: func(n *yaml.Node) Text { return inFile(file, source, n) }}
	return r.read(file, source)
}

// ReadAPI returns the objects of a list as the API server sent it. Places are in the fields.
func ReadAPI(list, namespace string) ([]Object, error) {
	r := reader{namespace: namespace, fields: true}
	r.at = func(n *yaml.Node) Text { return inField("", n.Value) }
	return r.read("the API server's answer", list)
}

type reader struct {
	namespace string
	// fields tells that places are in fields.
	fields bool
	at     func(*yaml.Node) Text
}

func (r reader) read(name, source string) (objects []Object, err error) {
	decoder := yaml.NewDecoder(strings.NewReader(source))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: reading YAML: %w", name, err)
		}
		for _, node := range document.Content {
			objects = append(objects, r.objects(node)...)
		}
	}
}

// objects resolves lists.
func (r reader) objects(node *yaml.Node) (objects []Object) {
	kind := textOf(node, "kind")
	if items := get(node, "items"); items != nil && strings.HasSuffix(kind, "List") {
		for _, item := range items.Content {
			objects = append(objects, r.objects(item)...)
		}
		return objects
	}
	o := Object{Kind: kind, Namespace: textOf(node, "metadata", "namespace"), Name: textOf(node, "metadata", "name"), At: r.at(node).At}
	if o.Namespace == "" {
		o.Namespace = r.namespace
	}
	if o.Name == "" {
		o.Name = textOf(node, "metadata", "generateName")
	}
	if r.fields {
		o.At = Place{Source: "metadata", Line: 1, Column: 1}
	}
	switch {
	case kind == "NetworkAttachmentDefinition" && strings.HasPrefix(textOf(node, "apiVersion"), "k8s.cni.cncf.io/"):
		o.Definition = r.definition(node, o.At)
	case kind == "Pod":
		o.Pod = r.pod(node)
	default:
		for _, template := range []*yaml.Node{get(node, "spec", "template"), get(node, "spec", "jobTemplate", "spec", "template")} {
			if template != nil {
				o.Pod = r.pod(template)
			}
		}
	}
	if o.Definition == nil && o.Pod == nil {
		return nil
	}
	return []Object{o}
}

func (r reader) definition(node *yaml.Node, at Place) *Definition {
	d := &Definition{ResourceName: textOf(node, "metadata", "annotations", npwg.AnnotationResourceName)}
	d.Config = Text{At: at, locate: func(int) Place { return at }}
	config := get(node, "spec", "config")
	switch {
	case config == nil:
	case config.Kind == yaml.ScalarNode && config.Tag != "!!null":
		d.Config = r.text(config, "spec.config")
	default:
		d.NotText = true
		d.Config.At = r.at(config).At
	}
	return d
}

// pod returns nil for pods that select nothing by the annotations of Multus.
func (r reader) pod(node *yaml.Node) *Pod {
	annotation := func(key string) *Text {
		value := get(node, "metadata", "annotations", key)
		if value == nil || value.Kind != yaml.ScalarNode {
			return nil
		}
		t := r.text(value, "annotation "+key)
		return &t
	}
	p := &Pod{
		Networks: annotation(npwg.AnnotationNetworks), Default: annotation(npwg.AnnotationDefaultNetwork),
		Own: annotation(v1alpha1.AnnotationNetworks), HostNetwork: textOf(node, "spec", "hostNetwork") == "true",
	}
	if p.Networks == nil && p.Default == nil {
		return nil
	}
	return p
}

func (r reader) text(node *yaml.Node, field string) Text {
	if r.fields {
		return inField(field, node.Value)
	}
	return r.at(node)
}

// get follows keys through mappings; nil where there is no such node.
func get(node *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		if node = resolve(node); node == nil || node.Kind != yaml.MappingNode {
			return nil
		}
		var next *yaml.Node
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == key {
				next = node.Content[i+1]
			}
		}
		node = next
	}
	return resolve(node)
}

// resolve follows an alias to what it stands for.
func resolve(node *yaml.Node) *yaml.Node {
	if node != nil && node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func textOf(node *yaml.Node, path ...string) string {
	if n := get(node, path...); n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}
