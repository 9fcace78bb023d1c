package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/jsonpos"
	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// Asked is what a pod asks for on one of its interfaces: certain addresses, a certain MAC.
type Asked struct {
	// Addresses, at most one of each family; a family that is left out is given as to any other pod.
	Addresses []netip.Addr
	// MAC is "" where any will do.
	MAC string

	// Element that asks, and its position from 1.
	Element  npwg.Element
	Position int
}

// Refuse says that the value of a key cannot be had now.
func (a *Asked) Refuse(reason, problem string) *Refusal {
	key := "ips"
	if reason == v1alpha1.ReasonMACInUse {
		key = "mac"
	}
	at, found := a.Element.Keys[key]
	if !found {
		at = a.Element.At
	}
	return &Refusal{reason, (&npwg.Error{At: at, Element: a.Position, Key: key, Problem: problem}).Error()}
}

// assignAsked reads what the annotation of Multus asks for in its JSON form, and refuses what no Network can do. Interfaces
// that the pod has are not looked at again.
func (s PodSnapshot) assignAsked(planned []Planned) *Refusal {
	elements, refusal := s.askedElements(planned)
	if refusal != nil {
		return refusal
	}
	for i := range planned {
		p := &planned[i]
		e, asks := elements[p.Selection.Interface]
		if !asks || s.Attached[p.Selection.Interface] != nil {
			continue
		}
		if problems, _ := netattach.Fit(e.Element, &p.Network.Spec); len(problems) > 0 {
			return &Refusal{v1alpha1.ReasonCannotHonour, atElement(e.position, problems)}
		}
		if refusal := e.defaultTaken(planned); refusal != nil {
			return refusal
		}
		p.DefaultRoute = e.DefaultRoute
		if p.Network.Spec.CNI != nil {
			p.CNIArguments = netattach.Arguments(e.Element)
		} else if p.Asked = e.asked(); p.Asked != nil {
			if refusal := p.checkAsked(planned[:i]); refusal != nil {
				return refusal
			}
		}
	}
	return nil
}

// element of the JSON form. Its position counts from one.
type element struct {
	npwg.Element
	position int
}

// defaultTaken refuses a default route where the Network of another interface has one: that Network's would go unused.
func (e element) defaultTaken(planned []Planned) *Refusal {
	for _, other := range planned {
		if e.DefaultRoute == nil || other.Selection.Interface == e.Interface {
			continue
		}
		for _, route := range other.Routes {
			to, err := netip.ParsePrefix(route.To)
			of := func(gateway netip.Addr) bool { return gateway.Is4() == to.Addr().Is4() }
			if err == nil && to.Bits() == 0 && (len(e.DefaultRoute) == 0 || slices.ContainsFunc(e.DefaultRoute, of)) {
				return &Refusal{v1alpha1.ReasonRouteConflict, (&npwg.Error{At: e.Keys["default-route"], Element: e.position, Key: "default-route", Problem: fmt.Sprintf(
					"Network %q, which the pod selects as well, has a route to %s", other.Network.Name, to)}).Error()}
			}
		}
	}
	return nil
}

// askedElements are the elements of the JSON form by their interfaces; none where it is not there or is not what the pod selects by.
// The admission policy finds the names by regular expressions, which say nothing of the rest. Of a pod that runs not all that it
// selects is planned, and not in that order.
func (s PodSnapshot) askedElements(planned []Planned) (map[string]element, *Refusal) {
	value := s.Pod.Annotations[npwg.AnnotationNetworks]
	if !npwg.IsJSON(value) {
		return nil, nil
	}
	list, err := npwg.Parse(value, s.Pod.Namespace)
	if err == nil && netattach.SameSelection(s.Pod.Annotations[v1alpha1.AnnotationNetworks], list) {
		elements := map[string]element{}
		for i, e := range list {
			elements[e.Interface] = element{e, i + 1}
		}
		return elements, nil
	}
	lacks := func(p Planned) bool { return s.Attached[p.Selection.Interface] == nil }
	if s.NamespaceLabels[netattach.LabelDefinitions] != netattach.LabelDefinitionsNative || !slices.ContainsFunc(planned, lacks) {
		// It is for Multus, or was when the pod was made.
		return nil, nil
	}
	if err != nil {
		return nil, &Refusal{v1alpha1.ReasonMalformedSelection, err.Error()}
	}
	return nil, &Refusal{v1alpha1.ReasonMalformedSelection, fmt.Sprintf("annotation %s selects other networks or interfaces than annotation %s, which the admission "+
		"policy netattachdefs.%s makes of it; create the pod again", npwg.AnnotationNetworks, v1alpha1.AnnotationNetworks, v1alpha1.GroupName)}
}

// atElement joins problems of one element.
func atElement(position int, problems []jsonpos.Problem) string {
	var texts []string
	for _, p := range problems {
		texts = append(texts, (&npwg.Error{At: p.At, Element: position, Key: p.Path, Problem: p.Text}).Error())
	}
	return strings.Join(texts, "; ")
}

func (e element) asked() *Asked {
	if len(e.IPs) == 0 && e.MAC == nil {
		return nil
	}
	a := &Asked{MAC: e.MAC.String(), Element: e.Element, Position: e.position}
	for _, ip := range e.IPs {
		a.Addresses = append(a.Addresses, ip.Addr)
	}
	return a
}

// checkAsked compares with the interfaces before it, with the ranges, and with an AddressClaim, of which two cannot both
// have their way.
func (p *Planned) checkAsked(before []Planned) *Refusal {
	for _, other := range before {
		if other.Asked == nil || other.Network.Name != p.Network.Name {
			continue
		}
		for _, addr := range p.Asked.Addresses {
			if slices.Contains(other.Asked.Addresses, addr) {
				return p.Asked.Refuse(v1alpha1.ReasonAddressInUse, fmt.Sprintf("element %d asks for %s too", other.Asked.Position, addr))
			}
		}
		if p.Asked.MAC != "" && p.Asked.MAC == other.Asked.MAC {
			return p.Asked.Refuse(v1alpha1.ReasonMACInUse, fmt.Sprintf("element %d asks for %s too", other.Asked.Position, p.Asked.MAC))
		}
	}
	problem, err := outside(p.Asked.Addresses, p.Network)
	if err != nil {
		return &Refusal{v1alpha1.ReasonNetworkNotAccepted, err.Error()}
	}
	if problem != "" {
		return p.Asked.Refuse(v1alpha1.ReasonOutsideRanges, problem)
	}
	if p.Claim != nil {
		return &Refusal{v1alpha1.ReasonAddressClaim, fmt.Sprintf("AddressClaim %q is for interface %s, for which element %d of annotation %s asks for ips or mac itself; "+
			"leave it to one of them", p.Claim.Name, p.Selection.Interface, p.Asked.Position, npwg.AnnotationNetworks)}
	}
	return nil
}
