package npwg

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/multinet-dev/multinet/apis/jsonpos"
)

// label is the unit that names are made of (section 3.3).
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)

// Lengths that Kubernetes allows for names of objects and of namespaces.
const (
	maxName      = 253
	maxNamespace = 63
)

// Parse returns what the value of the annotation asks for, in order; an empty or blank value asks for nothing. Names
// without a namespace are in that of the pod. The error joins an *Error for each thing that is wrong.
func Parse(value, podNamespace string) ([]Element, error) {
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	p := &parser{value: value}
	if IsJSON(value) {
		p.parseJSON()
	} else {
		p.parseCommaList()
	}
	p.complete(podNamespace)
	if len(p.errors) > 0 {
		slices.SortStableFunc(p.errors, func(a, b *Error) int { return a.At.Offset - b.At.Offset })
		joined := make([]error, len(p.errors))
		for i, e := range p.errors {
			joined[i] = e
		}
		return nil, errors.Join(joined...)
	}
	return p.elements, nil
}

// IsJSON tells which of the two forms a value has.
func IsJSON(value string) bool { return strings.ContainsAny(value, `[{"`) }

type parser struct {
	value    string
	elements []Element
	errors   []*Error
}

func (p *parser) refuse(at jsonpos.Position, element int, key, format string, args ...any) {
	p.errors = append(p.errors, &Error{At: at, Element: element, Key: key, Problem: fmt.Sprintf(format, args...)})
}

// parseCommaList allows white space around each part, as the reference client does.
func (p *parser) parseCommaList() {
	offset := 0
	for i, text := range strings.Split(p.value, ",") {
		blanks := len(text) - len(strings.TrimLeftFunc(text, unicode.IsSpace))
		e := Element{At: jsonpos.PositionOf(p.value, offset+blanks)}
		if problem := e.fromText(strings.TrimSpace(text)); problem != "" {
			p.refuse(e.At, i+1, "", "%q: %s", strings.TrimSpace(text), problem)
		}
		p.elements = append(p.elements, e)
		offset += len(text) + 1
	}
}

// fromText reads [namespace/]name[@interface] and returns a problem or "".
func (e *Element) fromText(text string) (problem string) {
	namespace, rest, hasNamespace := strings.Cut(text, "/")
	if !hasNamespace {
		namespace, rest = "", text
	}
	name, iface, hasInterface := strings.Cut(rest, "@")
	e.Namespace, e.Name, e.Interface = strings.TrimSpace(namespace), strings.TrimSpace(name), strings.TrimSpace(iface)
	if hasNamespace && e.Namespace == "" {
		return "the namespace before / is missing"
	}
	if problem := NameProblem(e.Name, e.Namespace); problem != "" {
		return problem
	}
	if hasInterface {
		return interfaceProblem(e.Interface)
	}
	return ""
}

// NameProblem tells why a name or a namespace cannot stand in the annotation, or "". An empty namespace is fine.
func NameProblem(name, namespace string) string {
	const rule = "lower case letters, digits and '-', with a letter or digit at both ends"
	switch {
	case name == "":
		return "the name is missing"
	case len(name) > maxName || !label.MatchString(name):
		return fmt.Sprintf("%q is not the name of a NetworkAttachmentDefinition: %s", name, rule)
	case namespace != "" && (len(namespace) > maxNamespace || !label.MatchString(namespace)):
		return fmt.Sprintf("%q is not the name of a namespace: %s", namespace, rule)
	}
	return ""
}

// interfaceProblem holds the rules of the kernel (dev_valid_name), and what every pod has.
func interfaceProblem(name string) string {
	switch {
	case name == "":
		return "the interface name is empty"
	case len(name) > 15:
		return fmt.Sprintf("interface name %q is longer than 15 bytes", name)
	case name == "." || name == ".." || strings.ContainsAny(name, "/:") || strings.ContainsFunc(name, unicode.IsSpace):
		return fmt.Sprintf("%q is not an interface name: the kernel refuses '/', ':', white space, \".\" and \"..\"", name)
	case name == "lo" || name == "eth0":
		return fmt.Sprintf("interface name %q is taken in every pod", name)
	}
	return ""
}

// complete fills in defaults and looks at the elements together.
func (p *parser) complete(podNamespace string) {
	owner := map[string]int{}
	gateway := 0
	for i := range p.elements {
		e := &p.elements[i]
		if e.Namespace == "" {
			e.Namespace = podNamespace
		}
		if e.Interface == "" {
			e.Interface = fmt.Sprintf("net%d", i+1)
		}
		if first, taken := owner[e.Interface]; taken {
			at, key := e.place("interface")
			p.refuse(at, i+1, key, "interface name %q is already used by element %d", e.Interface, first)
		} else {
			owner[e.Interface] = i + 1
		}
		if e.DefaultRoute != nil && gateway > 0 {
			at, key := e.place("default-route")
			p.refuse(at, i+1, key, "element %d has the default route already", gateway)
		} else if e.DefaultRoute != nil {
			gateway = i + 1
		}
	}
}

// place of a key's value with the key, or of the element with none.
func (e *Element) place(key string) (jsonpos.Position, string) {
	if at, found := e.Keys[key]; found {
		return at, key
	}
	return e.At, ""
}
