package npwg_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/conformance.md anew")

// demand is one normative sentence of the multi-net-spec, in our words.
type demand struct {
	section, text string
	// check proves it where code of apis does what is demanded.
	check func(t *testing.T)
	// elsewhere is where another test proves it: a file from the root of the repository and the name of a test in it.
	elsewhere [2]string
	// open says why it is not met. Exactly one of the three is set.
	open string
}

// TestConformance runs the check of each sentence by its section, and compares docs/conformance.md with the outcome: a
// sentence is said to be met there only if its check passes here.
func TestConformance(t *testing.T) {
	root := filepath.Join("..", "..")
	page := filepath.Join(root, "docs", "conformance.md")
	var rows strings.Builder
	var met, open int
	for _, d := range demands {
		outcome := ""
		switch {
		case d.check != nil:
			outcome = "met: `apis/npwg` TestConformance"
			met++
			if !t.Run(d.section+" "+d.text, d.check) {
				outcome = "failed"
			}
		case d.elsewhere[0] != "":
			source, err := os.ReadFile(filepath.Join(root, d.elsewhere[0]))
			if err != nil || !strings.Contains(string(source), "\nfunc "+d.elsewhere[1]+"(") {
				t.Errorf("%s: %s has no %s: %v", d.section, d.elsewhere[0], d.elsewhere[1], err)
			}
			met++
			outcome = fmt.Sprintf("met: `%s` %s", filepath.Dir(d.elsewhere[0]), d.elsewhere[1])
		default:
			open++
			outcome = "open: " + d.open
		}
		fmt.Fprintf(&rows, "| %s | %s | %s |\n", d.section, d.text, outcome)
	}
	got := head + fmt.Sprintf("%d sentences: %d met, %d open.\n\n| section | demand | Multinet |\n|---|---|---|\n", len(demands), met, open) + rows.String()
	if *update && !t.Failed() {
		if err := os.WriteFile(page, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("docs/conformance.md is out of step; -update writes it anew (-page +tests):\n%s", diff)
	}
}

const head = `# Conformance to the multi-net-spec

What the *Kubernetes Network Custom Resource Definition De-facto Standard* demands of an implementation, sentence by sentence in our own words, and whether Multinet
does it. This page is written by ` + "`go test ./apis/npwg -run TestConformance -args -update`" + `, and that test fails when the page is not true.

Sections are those of version 1.0, whose text is in the repository k8snetworkplumbingwg/multi-net-spec. Versions 1.1 to 1.3 are there as office documents only; what they
added was read in the reference client (network-attachment-definition-client) and in the discussions of the changes, and is listed at the end as "1.3". Sentences under
"CNI Delegating Plugin" are about the CNI plugins that Multinet calls for what its own data path does not do.

Pods select by this annotation in namespaces with the label ` + "`multinet.dev/netattachdefs: native`" + `. Three limits of the JSON form are Multinet's own, and a pod beyond them is
refused when it is created: 16 elements, three levels of lists and objects in a value, and no escape sequences in keys, ` + "`name`, `namespace` and `interface`" + `. What is well-formed and
cannot be honoured keeps the pod from starting: its condition ` + "`multinet.dev/planned`" + ` and an event name element, key, line, column and reason.

`

func TestDemandsAreComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range demands {
		n := 0
		for _, is := range []bool{d.check != nil, d.elsewhere[0] != "", d.open != ""} {
			if is {
				n++
			}
		}
		if n != 1 || d.section == "" || d.text == "" || strings.Contains(d.text, "|") || seen[d.section+d.text] {
			t.Errorf("%s %q: %d outcomes, or twice", d.section, d.text, n)
		}
		seen[d.section+d.text] = true
	}
}
