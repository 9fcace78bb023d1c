package v1alpha1_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/selection"
)

// longestJSON is a list of 16 elements that ask for all that there is: some 9 KiB.
func longestJSON() string {
	var elements []string
	for i := range 16 {
		elements = append(elements, fmt.Sprintf(`
  {
    "name": "network-with-a-long-name-%d",
    "namespace": "other",
    "interface": "interface-%d",
    "ips": ["10.255.255.%d/24", "2001:db8:ffff:ffff:ffff:ffff:ffff:%d/64"],
    "mac": "02:00:00:00:00:%02x",
    "infiniband-guid": "c2:11:22:33:44:55:66:77",
    "bandwidth": {"ingressRate": 1000000000, "ingressBurst": 1000000000, "egressRate": 1000000000, "egressBurst": 1000000000},
    "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp", "hostIP": "10.0.0.1"},
      {"hostPort": 8443, "containerPort": 443, "protocol": "udp", "hostIP": "2001:db8::1"}],
    "cni-args": {"name": "not this one", "nested": {"interface": "nor this", "list": ["a \"quoted\" ] word", "}"]}}
  }`, i, i, i+1, i+1, i))
	}
	return "[" + strings.Join(elements, ",") + "\n]\n"
}

func TestJSONBecomesNetworks(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	for name, value := range map[string]string{
		"name alone":        `[{"name": "storage"}]`,
		"all names":         ` [ { "name" : "storage" , "namespace" : "other" , "interface" : "data0" } , {"name":"lan"} ] `,
		"any white space":   "\n[\t{\"name\"\r\n:\"a\"\n,\n\"interface\":\n\"b\"}\n,\n{\"name\":\"b\"}\n]\n",
		"null and empty":    `[{"name": "a", "namespace": null, "interface": null}, {"name": "a", "namespace": "", "mac": null}]`,
		"name comes last":   `[{"interface": "x", "ips": ["10.0.0.1", "fd00::1"], "name": "a"}]`,
		"named net1":        `[{"name": "a", "interface": "net1"}]`,
		"names in nests":    `[{"cni-args": {"name": "x", "l": [{"name": "y"}], "namespace": "n"}, "name": "a"}, {"name": "b", "cni-args": {"interface": "z"}}]`,
		"names in strings":  `[{"a.b": "\"name\": \"x\", {[", "name": "a", "c.d": "\\"}, {"name": "b", "name.x": "y", "x.name": "z"}]`,
		"three levels":      `[{"name": "a", "cni-args": {"x": [{"y": 1}]}}]`,
		"escaped elsewhere": `[{"name": "a", "mac": "\u00302:00:00:00:00:01", "cni-args": {"na\u006de": "\ud83d\ude00 😀"}}]`,
		"other characters":  `[{"ключ.": "значение 😀", "name": "a"}, {"name": "b"}]`,
		"the longest":       longestJSON(),
	} {
		t.Run(name, func(t *testing.T) { s.becomesNetworks(t, namespace, value) })
	}
	t.Run("an empty list", func(t *testing.T) {
		pod := multusPod(namespace, " [ ] ")
		if err := s.admin.Create(t.Context(), pod, client.DryRunAll); err != nil || len(pod.Annotations) != 1 || len(pod.Spec.ResourceClaims) > 0 {
			t.Errorf("%v, %v", err, pod.Annotations)
		}
	})
}

func TestJSONThatIsRefused(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	seventeen := "[" + strings.Repeat(`{"name": "a"},`, 16) + `{"name": "a"}]`
	for name, c := range map[string]struct{ value, want string }{
		"no list":            {`{"name": "a"}`, `line 1, column 1: element 1 cannot be read: it holds one of [ { " and so must be a JSON list of objects`},
		"a string":           {`"storage`, `line 1, column 1: element 1 cannot be read`},
		"no end":             {`[{"name": "a"}`, `line 1, column 15: element 2 cannot be read`},
		"a list of words":    {"[{\"name\": \"a\"},\n \"b\"]", `line 2, column 2: element 2 cannot be read`},
		"brace in string":    {`[{"name": "a}]`, `line 1, column 2: element 1 cannot be read`},
		"four levels":        {"[{\"name\": \"a\"},\n{\"name\": \"b\", \"cni-args\": {\"a\": [{\"b\": []}]}}]", `line 2, column 1: element 2 cannot be read: it holds one of [ { " and so must be a JSON list of objects, with at most three levels`},
		"no colon":           {`[{"name" "a"}]`, `element 1: its keys and values cannot be told apart`},
		"key not quoted":     {`[{name: "a"}]`, `element 1: its keys and values cannot be told apart`},
		"escaped key":        {`[{"n\u0061me": "a"}]`, `element 1: a key is written with an escape sequence: write it plainly`},
		"escaped key beside": {`[{"name": "a", "n\u0061me": "b"}]`, `element 1: a key is written with an escape sequence`},
		"escaped name":       {`[{"name": "\u0061"}]`, `element 1: key "name": "\u0061" is not the name of a NetworkAttachmentDefinition`},
		"escaped namespace":  {`[{"name": "a", "namespace": "\u0062"}]`, `element 1: key "namespace": "\u0062" is not the name of a namespace`},
		"escaped interface":  {`[{"name": "a", "interface": "\u0062"}]`, `element 1: key "interface": "\u0062" is not an interface name`},
		"name twice":         {`[{"name": "b"}, {"name": "a", "name": "a"}]`, `element 2: one of the keys "name", "namespace" and "interface" stands twice`},
		"no name":            {`[{"name": "b"}, {"namespace": "a"}]`, `element 2: key "name": the name is missing`},
		"empty object":       {`[{}]`, `element 1: key "name": the name is missing`},
		"name null":          {`[{"name": null}]`, `element 1: key "name": the name is missing`},
		"number":             {`[{"name": 7}]`, `element 1: key "name": 7 is not the name`},
		"list":               {`[{"name": ["a"]}]`, `element 1: key "name": ["a"] is not the name`},
		"slash":              {`[{"name": "a/b"}]`, `element 1: key "name": "a/b" is not the name`},
		"comma":              {`[{"name": "a,b"}]`, `element 1: key "name": "a,b" is not the name`},
		"at sign":            {`[{"name": "a", "namespace": "b@c"}]`, `element 1: key "namespace": "b@c" is not`},
		"class":              {`[{"name": "a", "interface": "b:gold"}]`, `element 1: key "interface": "b:gold" is not`},
		"empty interface":    {`[{"name": "a", "interface": ""}]`, `element 1: key "interface": "" is not an interface name`},
		"eth0":               {`[{"name": "a", "interface": "eth0"}]`, `interface name "eth0" is taken in every pod`},
		"interface twice":    {`[{"name": "a", "interface": "x"}, {"name": "b", "interface": "x"}]`, `interface "x" is already used by element 1`},
		"seventeen":          {seventeen, "a pod selects at most 16 networks"},
		"long name": {`[{"name": "a"}, {"namespace": "other", "name": "` + strings.Repeat("a", 49-len(netattach.NetworkName("other", ""))) + `"}]`,
			"element 2: other/a"},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.admin.Create(t.Context(), multusPod(namespace, c.value), client.DryRunAll)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// TestJSONIsReadAsTheParserDoes: whatever a pod asks for, the policy selects what the parser reads or no pod is made; or else
// the parser has an error, so that the operator refuses the pod. What stands in the specification is read.
func TestJSONIsReadAsTheParserDoes(t *testing.T) {
	s := requireAPIServer(t)
	namespace := s.multusNamespace(t)
	var made, malformed, refused int
	for seed := range uint64(600) {
		w := jsonWriter{Rand: rand.New(rand.NewPCG(seed, 6)), broken: seed%3 == 0}
		value := w.list()
		want, errParser := selectedByElements(value, namespace)
		_, errSelection := selection.Parse(strings.Join(want, ","))
		pod := multusPod(namespace, value)
		errCreate := s.admin.Create(t.Context(), pod, client.DryRunAll)
		switch {
		case errCreate != nil && !strings.Contains(errCreate.Error(), "annotation "):
			t.Fatalf("seed %d: %q: %v", seed, value, errCreate)
		case errCreate != nil && errParser == nil && errSelection == nil && len(npwg.Unreadable(value)) == 0:
			t.Errorf("seed %d: %q is refused: %v", seed, value, errCreate)
		case errCreate != nil:
			refused++
		case errParser != nil:
			malformed++
		default:
			made++
			if diff := cmp.Diff(want, selectedByPod(t, pod)); diff != "" {
				t.Errorf("seed %d: %q (-parser +policy):\n%s", seed, value, diff)
			}
		}
	}
	t.Logf("%d are read alike, %d are refused by the policy, %d by the parser alone", made, refused, malformed)
	if made < 200 || refused < 100 || malformed < 5 {
		t.Errorf("%d are read alike, %d are refused by the policy, %d by the parser alone: too few of one kind", made, refused, malformed)
	}
}

// jsonWriter writes what a person or a program might, and now and then what nobody should.
type jsonWriter struct {
	*rand.Rand
	// broken lets bytes go or come.
	broken bool
}

func (w jsonWriter) one(of ...string) string { return of[w.IntN(len(of))] }

func (w jsonWriter) blank() string { return w.one("", "", " ", "\n  ", "\t", "\r\n") }

func (w jsonWriter) list() string {
	var elements []string
	for range w.IntN(5) {
		elements = append(elements, w.blank()+w.element()+w.blank())
	}
	text := w.blank() + "[" + strings.Join(elements, ",") + "]" + w.blank()
	if !w.broken {
		return text
	}
	for range 1 + w.IntN(2) {
		at := w.IntN(len(text) + 1)
		text = text[:at] + w.one("", `"`, `\`, "{", "}", "[", "]", ",", ":", "\n", "x", `"name":"z",`) + text[min(len(text), at+w.IntN(3)):]
	}
	// Rests of characters would not reach the policy.
	return strings.ToValidUTF8(text, "")
}

func (w jsonWriter) element() string {
	members := []string{`"name"` + w.blank() + ":" + w.blank() + w.name()}
	if w.IntN(2) == 0 {
		members = append(members, `"namespace":`+w.one(w.name(), `""`, "null"))
	}
	if w.IntN(3) == 0 {
		members = append(members, `"interface":`+w.one(fmt.Sprintf(`"if%d"`, w.IntN(1e6)), "null"))
	}
	if w.IntN(2) == 0 {
		members = append(members, `"cni-args": {`+fmt.Sprintf("%s: %s", w.one(`"name"`, `"a"`), w.value(2))+"}")
	}
	for _, key := range []string{"name.x", "x.interface", "a.b"} {
		if w.IntN(4) == 0 {
			members = append(members, fmt.Sprintf("%q:%s%s", key, w.blank(), w.value(3)))
		}
	}
	if w.IntN(20) == 0 {
		members = append(members, w.one(`"n\u0061me": "e"`, `"name": "twice"`, `"x.\n": 1`))
	}
	w.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return "{" + w.blank() + strings.Join(members, w.blank()+","+w.blank()) + w.blank() + "}"
}

// name in few cases is none, or written in a way that the policy does not read.
func (w jsonWriter) name() string {
	if w.IntN(30) == 0 {
		return w.one(`"\u0061"`, `"A"`, `"a/b"`, "7", `["a"]`)
	}
	return w.one(`"a"`, `"b-1"`, `"storage"`, `"0"`)
}

// value has so many levels at most, and one more in few cases.
func (w jsonWriter) value(levels int) string {
	if levels == 0 && w.IntN(60) == 0 {
		return "[]"
	}
	kind := w.IntN(3)
	if levels == 0 {
		kind = 2
	}
	switch kind {
	case 0:
		return "[" + w.value(levels-1) + w.blank() + "," + w.value(levels-1) + "]"
	case 1:
		return "{" + w.one(`"name"`, `"interface"`, `"x"`) + ":" + w.value(levels-1) + "}"
	}
	return w.one("1", "-1.5e3", "true", "null", `"text"`, `"\"name\":\"y\""`, `"]}\\"`, `"\\\""`, `"{["`, `"😀, "`)
}

// TestBothPoliciesReadAlike: what one of them writes, the other one checks.
func TestBothPoliciesReadAlike(t *testing.T) {
	objects, err := readObjects(filepath.Join("..", "..", "manifests", "admission", "netattachdefs.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var mutating admissionv1.MutatingAdmissionPolicy
	var validating admissionv1.ValidatingAdmissionPolicy
	for _, o := range objects {
		for kind, into := range map[string]any{"MutatingAdmissionPolicy": &mutating, "ValidatingAdmissionPolicy": &validating} {
			if o.GetKind() == kind && o.GetName() == "netattachdefs.multinet.dev" {
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, into); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for i, v := range mutating.Spec.Variables {
		if i >= len(validating.Spec.Variables) || v != validating.Spec.Variables[i] {
			t.Errorf("variable %s differs", v.Name)
		}
	}
	if len(mutating.Spec.Variables) == 0 {
		t.Error("there are none")
	}
}
