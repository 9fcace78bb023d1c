package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVFsOf(t *testing.T) {
	config, err := ParseConfig([]byte(`
vfs:
- {pf: ens1f0, numVFs: 8, nodeSelector: {example.com/nfv: "true", kubernetes.io/os: linux}}
- {pf: ens1f0, numVFs: 2}
- {pf: ens1f1, numVFs: 4, nodeSelector: {example.com/nfv: "true"}}
`))
	if err != nil {
		t.Fatal(err)
	}
	nfv := map[string]string{"example.com/nfv": "true", "kubernetes.io/os": "linux", "other": "label"}
	for name, test := range map[string]struct {
		labels map[string]string
		want   map[string]int
	}{
		"all of a selector": {nfv, map[string]int{"ens1f0": 8, "ens1f1": 4}},
		"part of it":        {map[string]string{"example.com/nfv": "true"}, map[string]int{"ens1f0": 2, "ens1f1": 4}},
		"another value":     {map[string]string{"example.com/nfv": "false"}, map[string]int{"ens1f0": 2}},
		"no labels":         {nil, map[string]int{"ens1f0": 2}},
	} {
		got := map[string]int{}
		for _, v := range config.VFsOf(test.labels) {
			got[v.PF] = v.NumVFs
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestVFConfigRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[{numVFs: 4}]`:                                       `vfs[0] "": pf is not the name of an interface`,
		`[{pf: a/b, numVFs: 4}]`:                              "pf is not the name of an interface",
		`[{pf: abcdefghijklmnop, numVFs: 4}]`:                 "pf is not the name of an interface",
		`[{pf: ens1f0}]`:                                      "numVFs 0 is not between 1 and 65535",
		`[{pf: ens1f0, numVFs: -1}]`:                          "numVFs -1 is not between",
		`[{pf: ens1f0, numVFs: 65536}]`:                       "numVFs 65536 is not between",
		`[{pf: ens1f0, number: 4}]`:                           "unknown field",
		`[{pf: ens1f0, numVFs: four}]`:                        "cannot unmarshal",
		`[{pf: ens1f0, numVFs: 4, nodeSelector: {"a b": c}}]`: "nodeSelector",
		`[{pf: ens1f0, numVFs: 4}, {pf: ens1f0, numVFs: 2, nodeSelector: {a: b}}]`: `vfs[1] "ens1f0": an entry before it is for this pf on all nodes`,
	} {
		if _, err := ParseConfig([]byte("vfs: " + text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
