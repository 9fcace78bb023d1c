// Package selection parses the annotation multinet.dev/networks, by which a pod selects its networks:
//
//	selection = element *( "," element )
//	element   = network [ "@" interface ] [ ":" qosclass ]
//
// White space around an element is ignored. Duplicate networks are legal, duplicate interfaces are not.
// The admission policies hold the same grammar in CEL; a test compares the two.
package selection

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// MaxElements is the number of networks that one pod can select.
const MaxElements = 16

// maxNetworkName keeps pod claim names, which contain the network's name, within a DNS label.
const maxNetworkName = 48

var (
	dnsLabel      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)
)

// Selection is one interface that a pod asks for.
type Selection struct {
	// Network is the name of a Network.
	Network string
	// Interface is the name in the pod; "net1", "net2", … by position where the pod names none.
	Interface string
	// QoSClass is the name of a QoSClass, empty for the Network's default.
	QoSClass string
	// PodClaimName is the entry in spec.resourceClaims that the admission policy adds for this selection.
	PodClaimName string
}

// Error names the element of an annotation that cannot be used.
type Error struct {
	// Element as it stands in the annotation, and its position from 1.
	Element  string
	Position int
	// Problem is a clause such as "the interface name is longer than 15 characters".
	Problem string
}

func (e *Error) Error() string {
	return fmt.Sprintf("annotation %s: element %d %q: %s", v1alpha1.AnnotationNetworks, e.Position, e.Element, e.Problem)
}

// Parse returns the selections of an annotation's value in order. An empty or blank value selects nothing.
// The error is an *Error.
func Parse(value string) ([]Selection, error) {
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	elements := strings.Split(value, ",")
	if len(elements) > MaxElements {
		return nil, &Error{Element: elements[MaxElements], Position: MaxElements + 1,
			Problem: fmt.Sprintf("a pod selects at most %d networks", MaxElements)}
	}
	selections := make([]Selection, 0, len(elements))
	positionOf := map[string]int{}
	occurrences := map[string]int{}
	for i, element := range elements {
		s, problem := parseElement(strings.TrimSpace(element))
		if problem == "" && s.Interface == "" {
			s.Interface = fmt.Sprintf("net%d", i+1)
		}
		if first, taken := positionOf[s.Interface]; problem == "" && taken {
			problem = fmt.Sprintf("interface %q is already used by element %d", s.Interface, first)
		}
		if problem != "" {
			return nil, &Error{Element: element, Position: i + 1, Problem: problem}
		}
		positionOf[s.Interface] = i + 1
		s.PodClaimName = fmt.Sprintf("%s%s-%d", v1alpha1.PodClaimPrefix, s.Network, occurrences[s.Network])
		occurrences[s.Network]++
		selections = append(selections, s)
	}
	return selections, nil
}

// parseElement returns the selection without defaults, and a problem or "".
func parseElement(element string) (s Selection, problem string) {
	rest, class, hasClass := strings.Cut(element, ":")
	network, iface, hasInterface := strings.Cut(rest, "@")
	switch {
	case network == "":
		return s, "the network's name is missing"
	case len(network) > maxNetworkName || !dnsLabel.MatchString(network):
		return s, fmt.Sprintf("%q is not the name of a Network: at most %d lower case letters, digits and '-'", network, maxNetworkName)
	case hasInterface && len(iface) > 15:
		return s, fmt.Sprintf("interface name %q is longer than 15 characters", iface)
	case hasInterface && !interfaceName.MatchString(iface):
		return s, fmt.Sprintf("%q is not an interface name: letters, digits, '.', '_' and '-'", iface)
	case iface == "lo" || iface == "eth0":
		return s, fmt.Sprintf("interface name %q is taken in every pod", iface)
	case hasClass && (len(class) > 63 || !dnsLabel.MatchString(class)):
		return s, fmt.Sprintf("%q is not the name of a QoSClass", class)
	}
	return Selection{Network: network, Interface: iface, QoSClass: class}, ""
}
