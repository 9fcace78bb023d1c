package kindcluster

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewRequest(t *testing.T) {
	got, err := NewRequest("dev", 3, []string{"storage", "rack=worker2,dev-worker3,worker1"}, []string{"worker=multinet.dev/rack=r=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := Request{
		Name: "dev", Workers: 3,
		Fabrics: []Fabric{
			{Name: "storage", Nodes: []string{"dev-worker", "dev-worker2", "dev-worker3"}},
			{Name: "rack", Nodes: []string{"dev-worker2", "dev-worker3", "dev-worker"}},
		},
		Labels: []Label{{Node: "dev-worker", Key: "multinet.dev/rack", Value: "r=1"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNewRequestRefuses(t *testing.T) {
	tests := map[string]struct {
		name            string
		workers         int
		fabrics, labels []string
		want            string
	}{
		"upper case":       {name: "Dev", want: `--name "Dev"`},
		"path":             {name: "../x", want: `--name "../x"`},
		"too many":         {name: "dev", workers: 99, want: "--workers 99: between 0 and 16"},
		"unknown node":     {name: "dev", workers: 1, fabrics: []string{"a=worker2"}, want: `there is no node "worker2": this cluster's nodes are dev-control-plane, dev-worker`},
		"fabric twice":     {name: "dev", fabrics: []string{"a", "a"}, want: "--fabric a is given twice"},
		"empty fabric":     {name: "dev", fabrics: []string{"=worker"}, want: "a name of lower-case letters"},
		"label in 2 parts": {name: "dev", labels: []string{"worker=x"}, want: "write node=key=value"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := NewRequest(test.name, test.workers, test.fabrics, test.labels)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestDecide(t *testing.T) {
	request := Request{Name: "dev", Workers: 1}
	complete := &Record{Request: request}
	nodes := []string{"dev-worker", "dev-control-plane"}
	tests := map[string]struct {
		record     *Record
		containers []string
		want       decision
	}{
		"nothing there":                   {nil, nil, create},
		"rest of a failed try":            {nil, nodes, create},
		"files left, containers gone":     {complete, nil, create},
		"healthy":                         {complete, nodes, keep},
		"a node was removed by hand":      {complete, nodes[:1], mismatch},
		"more workers than are asked for": {complete, append(nodes, "dev-worker2"), mismatch},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := decide(request, test.record, test.containers); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
