package netattach

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Plugins are the types of the CNI plugins that a configuration, or a list, has run, IPAM plugins among them: each once, in the
// order of the text. What keeps them from being run, or told, is in problems. A plugin that runs others of its own, as flannel
// does, is all that is known of those.
func Plugins(config string) (types []string, problems []jsonpos.Problem) {
	root, err := jsonpos.Parse(config)
	if err != nil {
		var syntax *jsonpos.Error
		errors.As(err, &syntax)
		return nil, []jsonpos.Problem{{At: syntax.At, Text: "is not JSON: " + syntax.Problem}}
	}
	t := &translator{}
	f := jsonpos.NewFields(root, "", &t.refusals)
	if root.Kind == jsonpos.Object {
		t.readHead(f)
		if !f.Has("name") {
			f.Refuse("", "name is missing")
		}
		types = t.readTypes(f)
	}
	return types, sorted(t.refusals)
}

// readTypes returns the types of a configuration or a list.
func (t *translator) readTypes(f *jsonpos.Fields) (types []string) {
	configs := []*jsonpos.Fields{f}
	if items, isList := f.List("plugins"); isList {
		configs = nil
		for _, item := range items {
			configs = append(configs, item.Fields())
		}
		if len(items) == 0 {
			f.Refuse("plugins", "names no plugin")
		}
	}
	add := func(g *jsonpos.Fields) {
		kind := t.readType(g)
		if len(kind) > v1alpha1.MaxCNIPluginName {
			g.Refuse("type", "%q is longer than %d characters, the most that a device can tell", kind, v1alpha1.MaxCNIPluginName)
		}
		if !slices.Contains(types, kind) {
			types = append(types, kind)
		}
	}
	for _, g := range configs {
		add(g)
		if ipam, found := g.Object("ipam"); found && ipam.Has("type") { // without a type there are no addresses
			add(ipam)
		}
	}
	return types
}

// delegate is the Network that has plugins do what a definition says, and the plugins. A configuration without a name gets that of
// the definition; the rest stays as it is, to the byte.
func (t *translator) delegate() (spec *v1alpha1.NetworkSpec, types []string) {
	config := t.definition.Config
	root, err := jsonpos.Parse(config)
	if err != nil || root.Kind != jsonpos.Object {
		return nil, nil // and refused before
	}
	f := jsonpos.NewFields(root, "", &t.refusals)
	types = t.readTypes(f)
	if slices.ContainsFunc(root.Members, func(m jsonpos.Member) bool { return m.Key == "name" && m.Value.Kind == jsonpos.Null }) {
		f.Refuse("name", "null is not the name of a CNI network")
	} else if !f.Has("name") {
		quoted, _ := json.Marshal(t.definition.Name) //nolint:errchkjson // A string has no error.
		config = config[:root.At.Offset+1] + `"name":` + string(quoted) + "," + config[root.At.Offset+1:]
	}
	t.checkResource(f)
	cni := &v1alpha1.CNISpec{Config: strings.TrimSpace(config), ResourceName: t.definition.ResourceName}
	return &v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeCNI, CNI: cni}, types
}

// resourceName is the pattern of spec.cni.resourceName.
var resourceName = regexp.MustCompile(`^([a-z0-9]|[a-z0-9][-a-z0-9.]{0,187}[a-z0-9])/([A-Za-z0-9]|[A-Za-z0-9][-A-Za-z0-9_.]{0,61}[A-Za-z0-9])$`)

// maxResourceName is the most that spec.cni.resourceName takes.
const maxResourceName = 253

// checkResource refuses names of which no container can request a device for a plugin.
func (t *translator) checkResource(f *jsonpos.Fields) {
	switch name := t.definition.ResourceName; {
	case name == "":
	case strings.HasPrefix(name, resourcePrefix):
		t.refusals = append(t.refusals, t.obstacles...)
		f.Refuse("", "resource %q is that of VFs which Multinet gives to pods itself, and no CNI plugin gets one, but this needs a CNI plugin: annotation %s may name the resource of a device plugin",
			name, npwg.AnnotationResourceName)
	case len(name) > maxResourceName || !resourceName.MatchString(name) || strings.Contains(name, "kubernetes.io/") || strings.HasPrefix(name, "requests."):
		f.Refuse("", "annotation %s: %q is not the name of an extended resource, such as intel.com/sriov_a", npwg.AnnotationResourceName, name)
	}
}
