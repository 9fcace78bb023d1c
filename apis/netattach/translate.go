// Package netattach reads the CNI configuration in a NetworkAttachmentDefinition and says what becomes of it: a Network
// that does the same on Multinet's own data path, the work of CNI plugins as before, or nothing, and why.
//
// What is known of each configuration was read in containernetworking/plugins v1.9.1 (macvlan, host-device, host-local,
// static), k8snetworkplumbingwg/whereabouts v0.9.2 (pkg/config, pkg/types) and k8snetworkplumbingwg/sriov-cni
// (docs/configuration-reference.md, pkg/types).
package netattach

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Definition is what a translation needs of a NetworkAttachmentDefinition.
type Definition struct {
	Namespace, Name string
	// Config is spec.config, a CNI configuration or a list of them.
	Config string
	// ResourceName is the annotation k8s.v1.cni.cncf.io/resourceName: multinet.dev/PF for VFs that Multinet gives to pods, else an
	// extended resource of a device plugin.
	ResourceName string
	// AllowedNamespaces are those beside its own whose pods may select it.
	AllowedNamespaces []string
}

// Verdict is what becomes of a NetworkAttachmentDefinition.
type Verdict string

const (
	// Native tells that a Network does the same.
	Native Verdict = "native"
	// Delegated tells that CNI plugins have to do it, since Multinet's own data path does not.
	Delegated Verdict = "delegated"
	// Refused tells that the configuration is malformed, or is not in the object.
	Refused Verdict = "refused"
)

// Translation of a Definition. All places are in Config.
type Translation struct {
	Verdict Verdict
	// Plugins are the types in the order of the chain, with the IPAM plugin behind a +.
	Plugins []string
	// Network is the equivalent where the verdict is Native, and has the plugins do it where that is Delegated. Its namespaceSelector
	// admits the definition's namespace.
	Network *v1alpha1.NetworkSpec
	// Types are the CNI plugins that have to be run, IPAM plugins among them, where the verdict is Delegated.
	Types []string
	// Reasons say why the verdict is not Native.
	Reasons []jsonpos.Problem
	// Notes are keys without effect, and differences, of which a user should know. Plugins read what they find, so that there are none
	// where the verdict is Delegated.
	Notes []jsonpos.Problem
}

// Translate is a pure function of the definition.
func Translate(d Definition) Translation {
	t := &translator{definition: d}
	spec := t.read()
	result := Translation{Verdict: Native, Plugins: t.plugins, Network: spec, Notes: sorted(t.notes)}
	if len(t.refusals) == 0 && len(t.obstacles) > 0 {
		result.Verdict, result.Reasons, result.Notes = Delegated, sorted(t.obstacles), nil
		result.Network, result.Types = t.delegate()
	}
	if len(t.refusals) > 0 {
		return Translation{Verdict: Refused, Plugins: t.plugins, Reasons: sorted(t.refusals), Notes: sorted(t.notes)}
	}
	result.Network.NamespaceSelector = namespaceSelector(append([]string{d.Namespace}, d.AllowedNamespaces...))
	return result
}

func sorted(problems []jsonpos.Problem) []jsonpos.Problem {
	slices.SortStableFunc(problems, func(a, b jsonpos.Problem) int { return a.At.Offset - b.At.Offset })
	return problems
}

// translator collects what there is to say while it reads one definition.
type translator struct {
	definition Definition
	plugins    []string
	// refusals are what no plugin would accept either, obstacles what the data path of Multinet cannot do.
	refusals, obstacles, notes []jsonpos.Problem
}

// pluginType is the name of an executable file; libcni refuses path separators.
var pluginType = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)

// networkName is what libcni accepts (pkg/utils).
var networkName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

var cniVersions = []string{"", "0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"}

// read returns a spec that is of use only if there are neither refusals nor obstacles.
func (t *translator) read() *v1alpha1.NetworkSpec {
	if problem := npwg.NameProblem(t.definition.Name, t.definition.Namespace); problem != "" {
		t.refusals = append(t.refusals, jsonpos.Problem{At: jsonpos.Position{Line: 1, Column: 1}, Text: "no pod can select it: " + problem})
	}
	if strings.TrimSpace(t.definition.Config) == "" {
		t.refusals = append(t.refusals, jsonpos.Problem{At: jsonpos.Position{Line: 1, Column: 1},
			Text: "spec.config is empty: the configuration is a file on each node, which Multinet does not read"})
		return nil
	}
	root, err := jsonpos.Parse(t.definition.Config)
	if err != nil {
		var syntax *jsonpos.Error
		errors.As(err, &syntax)
		t.refusals = append(t.refusals, jsonpos.Problem{At: syntax.At, Text: "spec.config is not JSON: " + syntax.Problem})
		return nil
	}
	f := jsonpos.NewFields(root, "", &t.refusals)
	if root.Kind != jsonpos.Object {
		return nil
	}
	t.readHead(f)
	if !f.Has("plugins") {
		return t.readPlugin(f)
	}
	return t.readChain(f)
}

// readHead reads what configurations and lists have in common.
func (t *translator) readHead(f *jsonpos.Fields) {
	if version, _ := f.Text("cniVersion"); !slices.Contains(cniVersions, version) {
		f.Refuse("cniVersion", "%q is not a version of CNI: %s", version, strings.Join(cniVersions[1:], ", "))
	}
	name, found := f.Text("name")
	switch {
	case found && !networkName.MatchString(name):
		f.Refuse("name", "%q is not the name of a CNI network", name)
	case found && name != t.definition.Name:
		t.note(f, "name", "differs from the name of the NetworkAttachmentDefinition, which is the one that counts")
	}
}

func (t *translator) readChain(f *jsonpos.Fields) *v1alpha1.NetworkSpec {
	plugins, _ := f.List("plugins")
	t.ignore(f, "no CNI plugin is called", "cniVersions", "disableCheck", "disableGC", "loadOnlyInlinedPlugins")
	t.noteUnknown(f)
	var spec *v1alpha1.NetworkSpec
	for i, item := range plugins {
		g := item.Fields()
		if i == 0 {
			spec = t.readPlugin(g)
			continue
		}
		kind := t.readType(g)
		t.plugins = append(t.plugins, kind)
		t.obstacle(g, "type", "plugin %q is chained behind the first one, which needs the plugins themselves", kind)
	}
	if len(plugins) == 0 {
		f.Refuse("plugins", "names no plugin")
	}
	return spec
}

func (t *translator) readType(f *jsonpos.Fields) string {
	kind, found := f.Text("type")
	if !found || !pluginType.MatchString(kind) {
		f.Refuse("type", "the name of a CNI plugin is needed")
	}
	return kind
}

// readPlugin reads the configuration of the first, or only, plugin.
func (t *translator) readPlugin(f *jsonpos.Fields) *v1alpha1.NetworkSpec {
	kind := t.readType(f)
	t.plugins = append(t.plugins, kind)
	spec := &v1alpha1.NetworkSpec{}
	switch kind {
	case "macvlan":
		t.readMacvlan(f, spec)
	case "sriov":
		t.readSRIOV(f, spec)
	case "host-device":
		t.readHostDevice(f, spec)
	default:
		if kind != "" {
			t.obstacle(f, "type", "plugin %q is not macvlan, sriov or host-device, which Multinet does itself", kind)
		}
		return nil
	}
	if name := t.definition.ResourceName; name != "" && spec.Macvlan != nil {
		t.notes = append(t.notes, f.Problem("", "resource %q of the annotation %s has no effect: pods share the uplink, and need no device of a device plugin for it", name, npwg.AnnotationResourceName))
	}
	t.readIPAM(f, spec)
	t.readCommon(f)
	t.noteUnknown(f)
	return spec
}

// readCommon reads the keys that every plugin has.
func (t *translator) readCommon(f *jsonpos.Fields) {
	f.Has("cniVersion")
	f.Has("name")
	f.Has("capabilities")
	t.ignore(f, "a Network masquerades nothing, nor does this plugin", "ipMasq")
	t.noteDNS(f)
	if args, found := f.Object("args"); found && len(args.Unasked()) > 0 {
		t.obstacle(f, "args", "arguments are for a CNI plugin")
	}
	for _, key := range []string{"runtimeConfig", "prevResult"} {
		if f.Has(key) {
			t.obstacle(f, key, "is for runtimes to set and for a CNI plugin to read")
		}
	}
}

// noteDNS: plugins hand dns on to the runtime, which ignores it for any but the cluster's network.
func (t *translator) noteDNS(f *jsonpos.Fields) {
	if dns, found := f.Object("dns"); found && len(dns.Unasked()) > 0 {
		t.note(f, "dns", "has no effect: no runtime uses the name servers of an additional network, and network-status will not show them")
	}
}

func (t *translator) obstacle(f *jsonpos.Fields, key, format string, args ...any) {
	t.obstacles = append(t.obstacles, f.Problem(key, format, args...))
}

func (t *translator) note(f *jsonpos.Fields, key, format string, args ...any) {
	t.notes = append(t.notes, f.Problem(key, format, args...))
}

// ignore notes keys that mean nothing to a Network.
func (t *translator) ignore(f *jsonpos.Fields, because string, keys ...string) {
	for _, key := range keys {
		if f.Has(key) {
			t.note(f, key, "has no effect: %s", because)
		}
	}
}

// noteUnknown notes keys that the plugin does not read either: plugins ignore what they do not know.
func (t *translator) noteUnknown(f *jsonpos.Fields) {
	for _, m := range f.Unasked() {
		t.note(f, m.Key, "has no effect: neither the plugin nor Multinet knows this key")
	}
}
