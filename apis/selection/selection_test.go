package selection

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	name48 := strings.Repeat("n", 48)
	for name, c := range map[string]struct {
		value string
		want  []Selection
	}{
		"nothing": {"", nil},
		"blank":   {" \t\n", nil},
		"one":     {"storage", []Selection{{"storage", "net1", "", "multinet-storage-0", ""}}},
		"all parts": {"storage@data0:gold",
			[]Selection{{"storage", "data0", "gold", "multinet-storage-0", ""}}},
		"class without interface": {"storage:gold", []Selection{{"storage", "net1", "gold", "multinet-storage-0", ""}}},
		"space around elements": {" a ,\tb@x ",
			[]Selection{{"a", "net1", "", "multinet-a-0", ""}, {"b", "x", "", "multinet-b-0", ""}}},
		"default names by position": {"a@x,b,c@y,d",
			[]Selection{{"a", "x", "", "multinet-a-0", ""}, {"b", "net2", "", "multinet-b-0", ""}, {"c", "y", "", "multinet-c-0", ""}, {"d", "net4", "", "multinet-d-0", ""}}},
		"network twice": {"a,a:gold",
			[]Selection{{"a", "net1", "", "multinet-a-0", ""}, {"a", "net2", "gold", "multinet-a-1", ""}}},
		"claim names that look alike": {"a-0,a",
			[]Selection{{"a-0", "net1", "", "multinet-a-0-0", ""}, {"a", "net2", "", "multinet-a-0", ""}}},
		"default name given to another": {"a@net3,b",
			[]Selection{{"a", "net3", "", "multinet-a-0", ""}, {"b", "net2", "", "multinet-b-0", ""}}},
		"request of a claim":    {"claim=pair/vf", []Selection{{"", "net1", "", "pair", "vf"}}},
		"all parts, of a claim": {"claim=pair/vf@data:gold", []Selection{{"", "data", "gold", "pair", "vf"}}},
		"two requests of a claim, and networks": {"a,claim=pair/left, claim=pair/right@x,a",
			[]Selection{{"a", "net1", "", "multinet-a-0", ""}, {"", "net2", "", "pair", "left"}, {"", "x", "", "pair", "right"}, {"a", "net4", "", "multinet-a-1", ""}}},
		"class":            {"class=bulk", []Selection{{"", "net1", "bulk", "multinet--bulk-0", ""}}},
		"class, interface": {"class=bulk@data", []Selection{{"", "data", "bulk", "multinet--bulk-0", ""}}},
		"class twice, and networks that look alike": {"class=a,a:a,class=a@x,class",
			[]Selection{{"", "net1", "a", "multinet--a-0", ""}, {"a", "net2", "a", "multinet-a-0", ""}, {"", "x", "a", "multinet--a-1", ""}, {"class", "net4", "", "multinet-class-0", ""}}},
		"longest class":       {"class=" + name48, []Selection{{"", "net1", name48, "multinet--" + name48 + "-0", ""}}},
		"network named claim": {"claim", []Selection{{"claim", "net1", "", "multinet-claim-0", ""}}},
		"longest": {name48 + "@abcdefghijklm.o:" + strings.Repeat("q", 63),
			[]Selection{{name48, "abcdefghijklm.o", strings.Repeat("q", 63), "multinet-" + name48 + "-0", ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	sixteen := strings.Repeat("a,", 15) + "a"
	for name, c := range map[string]struct{ value, want string }{
		"missing name":             {"a,,b", `element 2 "": the network's name is missing`},
		"trailing comma":           {"a,", `element 2 "": the network's name is missing`},
		"only an interface":        {"@net1", `element 1 "@net1": the network's name is missing`},
		"upper case":               {"Storage", `element 1 "Storage": "Storage" is not the name of a Network: at most 48 lower case letters, digits and '-'`},
		"namespace":                {"ns/a", `element 1 "ns/a": "ns/a" is not the name of a Network`},
		"JSON":                     {`[{"name":"a"}]`, `element 1 "[{\"name\":\"a\"}]": "[{\"name\"" is not the name of a Network`},
		"name of 49":               {strings.Repeat("n", 49), "is not the name of a Network: at most 48"},
		"line feed in name":        {"a\nb", `element 1 "a\nb": "a\nb" is not the name of a Network`},
		"interface of 16":          {"a@abcdefghijklmnop", `element 1 "a@abcdefghijklmnop": interface name "abcdefghijklmnop" is longer than 15 characters`},
		"empty interface":          {"a@", `element 1 "a@": "" is not an interface name: letters, digits, '.', '_' and '-'`},
		"interface with slash":     {"a@x/y", `"x/y" is not an interface name`},
		"interface of dots":        {"a@..", `".." is not an interface name`},
		"two interfaces":           {"a@x@y", `"x@y" is not an interface name`},
		"lo":                       {"a@lo", `interface name "lo" is taken in every pod`},
		"eth0":                     {"a,b@eth0", `element 2 "b@eth0": interface name "eth0" is taken in every pod`},
		"empty class":              {"a:", `element 1 "a:": "" is not the name of a QoSClass`},
		"two classes":              {"a:b:c", `"b:c" is not the name of a QoSClass`},
		"class of 64":              {"a:" + strings.Repeat("q", 64), "is not the name of a QoSClass"},
		"interface twice":          {"a@x,b,c@x", `element 3 "c@x": interface "x" is already used by element 1`},
		"default name taken":       {"a@net2,b", `element 2 "b": interface "net2" is already used by element 1`},
		"seventeen":                {sixteen + ", b", `element 17 " b": a pod selects at most 16 networks`},
		"claim without a name":     {"claim=", `element 1 "claim=": "claim=" does not name an entry of spec.resourceClaims and a request of that claim: want claim=<entry>/<request>`},
		"claim without request":    {"claim=pair", `"claim=pair" does not name an entry`},
		"subrequest":               {"claim=pair/vf/fast", `"claim=pair/vf/fast" does not name an entry`},
		"entry of 64":              {"claim=" + strings.Repeat("e", 64) + "/vf", "does not name an entry"},
		"request of 64":            {"claim=pair/" + strings.Repeat("r", 64), "does not name an entry"},
		"claim of a network":       {"claim=multinet-storage-0/nic", `"claim=multinet-storage-0/nic" names an entry that is not the pod's own: those that begin with multinet- are made for networks`},
		"request twice":            {"claim=p/a,claim=p/b,claim=p/a", `element 3 "claim=p/a": the device of this request is already selected by element 1`},
		"other key":                {"net=bulk", `"net=bulk" is not the name of a Network`},
		"class without a name":     {"class=", `element 1 "class=": "class=" does not name a QoSClass: want class=<qosclass>, which is at most 48 lower case letters, digits and '-'`},
		"chosen by class of 49":    {"class=" + strings.Repeat("q", 49), "does not name a QoSClass"},
		"class of a network":       {"class=storage/bulk", `"class=storage/bulk" does not name a QoSClass`},
		"class and class":          {"a,class=bulk@x:gold", `element 2 "class=bulk@x:gold": "class=bulk" names its class already, and cannot have class "gold" too`},
		"class and nothing":        {"class=bulk:", `"class=bulk" names its class already, and cannot have class "" too`},
		"interface of a class":     {"a@net2,class=bulk", `element 2 "class=bulk": interface "net2" is already used by element 1`},
		"the first problem counts": {"a@x,B,c@x", `element 2 "B"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(c.value)
			if err == nil || got != nil {
				t.Fatalf("accepted: %v, %v", got, err)
			}
			if want := "annotation multinet.dev/networks: "; !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant\n%s%s", err, want, c.want)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Errorf("error is a %T, want *Error", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", " ", "storage", "a@x:q, b", "a,,b", "a@", "a:", "a@net2,b", "claim=p/a@x:q,claim=p/b", "claim=multinet-a/b", "class=q@x,class=q", "class=q:q", "[{\"name\":\"a\"}]", "a\u00a0,b", "\xff@\xfe"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		selections, err := Parse(value)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Position < 1 || !strings.Contains(value, e.Element) || e.Problem == "" {
				t.Fatalf("%q: error %#v does not quote an element", value, err)
			}
			return
		}
		// What was understood, written out in full, is understood in the same way.
		var elements []string
		names := map[string]bool{}
		for _, s := range selections {
			element := s.Subject() + "@" + s.Interface
			if s.QoSClass != "" && !s.ByClass() {
				element += ":" + s.QoSClass
			}
			elements = append(elements, element)
			if names["interface "+s.Interface] || names[s.String()+s.PodClaimName] || len(s.PodClaimName) > 63 || len(s.Interface) > 15 {
				t.Errorf("%q: names are not unique or too long: %+v", value, s)
			}
			names["interface "+s.Interface], names[s.String()+s.PodClaimName] = true, true
		}
		again, err := Parse(strings.Join(elements, ","))
		if diff := cmp.Diff(fmt.Sprint(selections, nil), fmt.Sprint(again, err)); diff != "" {
			t.Errorf("%q (-first +again):\n%s", value, diff)
		}
	})
}
