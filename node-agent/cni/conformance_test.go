package cni_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/cni-conformance.md anew")

// rule is a sentence of the CNI specification that concerns plugins, in our own words.
type rule struct {
	section  string
	sentence string
	// test is nil where the sentence is about something that this plugin does not have, which because tells.
	test    func(*testing.T, *lab)
	because string
}

const conformancePage = `# Conformance with the CNI specification

The sentences of [CNI 1.1](https://github.com/containernetworking/cni/blob/v1.3.0/SPEC.md) that concern plugins, in our own words, each with the outcome of its test. This page is
written by ` + "`go test ./node-agent/cni -run TestConformance -update`" + `, and a test run fails where it says anything else than what came out. The tests start the real
plugin, as a runtime does, against a real agent in network namespaces. That a kubelet and containerd get along with it is shown on a cluster, by ` + "`TestFaultsOfTheFirstNode/CNIDoor` in `hack/e2e`" + `.

`

// TestConformance has a test for each sentence, and the page in docs to tell of them.
func TestConformance(t *testing.T) {
	l := newLab(t)
	var page strings.Builder
	page.WriteString(conformancePage)
	last := ""
	for _, r := range rules {
		if r.section != last {
			fmt.Fprintf(&page, "## %s\n\n| sentence | outcome |\n|---|---|\n", r.section)
			last = r.section
		}
		outcome := "does not apply: " + r.because
		if r.test != nil {
			outcome = "pass"
			if !t.Run(r.section+"/"+r.sentence, func(t *testing.T) { on := *l; on.t = t; r.test(t, &on) }) {
				outcome = "**fail**"
			}
		}
		fmt.Fprintf(&page, "| %s | %s |\n", r.sentence, outcome)
		if next := nextSection(r); next != r.section && next != "" {
			page.WriteString("\n")
		}
	}
	path := filepath.Join("..", "..", "docs", "cni-conformance.md")
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(path)
	if diff := cmp.Diff(string(there), page.String()); diff != "" || err != nil {
		t.Errorf("docs/cni-conformance.md does not say what is true (%v):\n%s", err, diff)
	}
}

// nextSection is that of the rule behind r.
func nextSection(r rule) string {
	for i := range rules[:len(rules)-1] {
		if rules[i].section == r.section && rules[i].sentence == r.sentence {
			return rules[i+1].section
		}
	}
	return ""
}

// prevResult is what a primary plugin may have made.
const prevResult = `{"cniVersion":"1.1.0","interfaces":[{"name":"eth0","sandbox":"/netns"}],"ips":[{"address":"10.244.0.9/16","interface":0}],"dns":{},"unknown":[1]}`

// env of a pod's call.
func (p pod) env(command string, change ...string) map[string]string {
	r := p.args()
	env := map[string]string{
		"CNI_COMMAND": command, "CNI_CONTAINERID": r.ContainerID, "CNI_NETNS": r.NetNS, "CNI_IFNAME": r.IfName,
		"CNI_ARGS": fmt.Sprintf("K8S_POD_NAMESPACE=ns;K8S_POD_NAME=%s;K8S_POD_UID=%s", p.uid, p.uid),
	}
	for i := 0; i+1 < len(change); i += 2 {
		if env[change[i]] = change[i+1]; change[i+1] == "" {
			delete(env, change[i])
		}
	}
	return env
}

const basicConfig = `{"cniVersion":"1.1.0","name":"primary","prevResult":` + prevResult

// direct is a call without libcni. change are variables; one that is empty is left out.
func (l *lab) direct(p pod, command string, change ...string) outcome {
	l.t.Helper()
	return l.run(call{env: p.env(command, change...), config: basicConfig})
}

// wantFailure looks for an error of a code that names something.
func wantFailure(t *testing.T, o outcome, code uint, naming string) {
	t.Helper()
	err := o.failure()
	wantCode(t, err, code)
	if err != nil && !strings.Contains(err.Error(), naming) {
		t.Errorf("the error does not name %s: %v", naming, err)
	}
}

func wantSuccess(t *testing.T, o outcome) {
	t.Helper()
	if err := o.failure(); err != nil {
		t.Error(err)
	}
}

// needs looks whether each of the variables is missed.
func needs(t *testing.T, l *lab, uid, command string, variables ...string) {
	p := l.pod(uid, "storage")
	for _, v := range variables {
		wantFailure(t, l.direct(p, command, v, ""), 4, v)
	}
}
