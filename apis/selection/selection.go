// Package selection parses the annotation multinet.dev/networks, by which a pod selects its networks:
//
//	selection = element *( "," element )
//	element   = ( network / "claim=" entry "/" request ) [ "@" interface ] [ ":" qosclass ]
//	          / "class=" qosclass [ "@" interface ]
//
// An entry is one of the pod's spec.resourceClaims that its user wrote, and a request one of that claim: the interface is the
// device that the request is allocated. With a class alone the scheduler picks the network, the cheapest that has the class and a
// place for the pod. White space around an element is ignored. Duplicate networks and classes are legal, duplicate interfaces
// and requests are not.
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

// maxName keeps pod claim names, which contain the name of the network or class, within a DNS label.
const maxName = 48

const (
	// claimForm begins an element that names a request of a claim.
	claimForm = "claim="
	// classForm begins an element that names a class and no network.
	classForm = "class="
)

var (
	dnsLabel      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	interfaceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$`)
)

// Selection is one interface that a pod asks for.
type Selection struct {
	// Network is the name of a Network. It is empty where the element names a request of a claim or a class alone: the
	// allocation tells it.
	Network string
	// Interface is the name in the pod; "net1", "net2", … by position where the pod names none.
	Interface string
	// QoSClass is the name of a QoSClass, empty for the Network's default. With a Network and a Request that are empty it is
	// what the network is chosen by.
	QoSClass string
	// PodClaimName is the entry in spec.resourceClaims that brings the device: the one that the admission policy adds for
	// this selection, or where Request is set, one that the user wrote.
	PodClaimName string
	// Request is the name of a request in the user's claim.
	Request string
}

// OwnClaim tells whether the device comes from a claim that the pod's user wrote.
func (s Selection) OwnClaim() bool { return s.Request != "" }

// ByClass tells whether the network is to be the cheapest that has the class.
func (s Selection) ByClass() bool { return s.Network == "" && s.Request == "" && s.QoSClass != "" }

// String is how messages call what was selected: network "storage", request "vf" of claim "pair", or network of class "bulk".
func (s Selection) String() string {
	switch {
	case s.OwnClaim():
		return fmt.Sprintf("request %q of claim %q", s.Request, s.PodClaimName)
	case s.ByClass():
		return fmt.Sprintf("network of class %q", s.QoSClass)
	}
	return fmt.Sprintf("network %q", s.Network)
}

// Subject is the element without interface and, where it names a network or a request, without class.
func (s Selection) Subject() string {
	switch {
	case s.OwnClaim():
		return ClaimElement(s.PodClaimName, s.Request)
	case s.ByClass():
		return classForm + s.QoSClass
	}
	return s.Network
}

// ClaimElement is the element that selects a request of an entry of spec.resourceClaims.
func ClaimElement(entry, request string) string { return claimForm + entry + "/" + request }

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
	positionOf, requestedBy := map[string]int{}, map[string]int{}
	occurrences := map[string]int{}
	for i, element := range elements {
		s, problem := parseElement(strings.TrimSpace(element))
		if problem == "" && s.Interface == "" {
			s.Interface = fmt.Sprintf("net%d", i+1)
		}
		if first, taken := positionOf[s.Interface]; problem == "" && taken {
			problem = fmt.Sprintf("interface %q is already used by element %d", s.Interface, first)
		}
		if first, taken := requestedBy[s.String()]; problem == "" && s.OwnClaim() && taken {
			problem = fmt.Sprintf("the device of this request is already selected by element %d", first)
		}
		if problem != "" {
			return nil, &Error{Element: element, Position: i + 1, Problem: problem}
		}
		positionOf[s.Interface], requestedBy[s.String()] = i+1, i+1
		if !s.OwnClaim() {
			s.PodClaimName = s.podClaim(occurrences[s.Subject()])
			occurrences[s.Subject()]++
		}
		selections = append(selections, s)
	}
	return selections, nil
}

// podClaim is the entry for the nth selection, from 0, of the same network or class. No network's name begins with '-'.
func (s Selection) podClaim(n int) string {
	name := s.Network
	if s.ByClass() {
		name = "-" + s.QoSClass
	}
	return fmt.Sprintf("%s%s-%d", v1alpha1.PodClaimPrefix, name, n)
}

// parseElement returns the selection without defaults, and a problem or "".
func parseElement(element string) (s Selection, problem string) {
	rest, class, hasClass := strings.Cut(element, ":")
	subject, iface, hasInterface := strings.Cut(rest, "@")
	if s, problem = parseSubject(subject); problem != "" {
		return Selection{}, problem
	}
	switch {
	case hasInterface && len(iface) > 15:
		return s, fmt.Sprintf("interface name %q is longer than 15 characters", iface)
	case hasInterface && !interfaceName.MatchString(iface):
		return s, fmt.Sprintf("%q is not an interface name: letters, digits, '.', '_' and '-'", iface)
	case iface == "lo" || iface == "eth0":
		return s, fmt.Sprintf("interface name %q is taken in every pod", iface)
	case hasClass && s.ByClass():
		return s, fmt.Sprintf("%q names its class already, and cannot have class %q too", subject, class)
	case hasClass && !isLabel(class):
		return s, fmt.Sprintf("%q is not the name of a QoSClass", class)
	}
	if s.Interface = iface; hasClass {
		s.QoSClass = class
	}
	return s, ""
}

// parseSubject reads what is to be had, a network, the device of a request, or a class.
func parseSubject(subject string) (s Selection, problem string) {
	path, ofClaim := strings.CutPrefix(subject, claimForm)
	class, ofClass := strings.CutPrefix(subject, classForm)
	entry, request, _ := strings.Cut(path, "/")
	switch {
	case subject == "":
		return s, "the network's name is missing"
	case ofClaim && (!isLabel(entry) || !isLabel(request)):
		return s, fmt.Sprintf("%q does not name an entry of spec.resourceClaims and a request of that claim: want claim=<entry>/<request>", subject)
	case ofClaim && strings.HasPrefix(entry, v1alpha1.PodClaimPrefix):
		return s, fmt.Sprintf("%q names an entry that is not the pod's own: those that begin with %s are made for networks", subject, v1alpha1.PodClaimPrefix)
	case ofClaim:
		return Selection{PodClaimName: entry, Request: request}, ""
	case ofClass && !isName(class):
		return s, fmt.Sprintf("%q does not name a QoSClass: want class=<qosclass>, which is at most %d lower case letters, digits and '-'", subject, maxName)
	case ofClass:
		return Selection{QoSClass: class}, ""
	case !isName(subject):
		return s, fmt.Sprintf("%q is not the name of a Network: at most %d lower case letters, digits and '-'", subject, maxName)
	}
	return Selection{Network: subject}, ""
}

func isName(name string) bool { return len(name) <= maxName && dnsLabel.MatchString(name) }

func isLabel(name string) bool { return len(name) <= 63 && dnsLabel.MatchString(name) }
