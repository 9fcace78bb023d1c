// Package kindcluster creates, repairs and removes the kind clusters that Multinet is tried on.
package kindcluster

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Request is what the user asked for.
type Request struct {
	Name    string   `json:"name"`
	Workers int      `json:"workers"`
	Fabrics []Fabric `json:"fabrics,omitempty"`
	Labels  []Label  `json:"labels,omitempty"`
}

// Fabric is one more layer-2 network: each node in it gets one more interface, in the order of fabrics.
type Fabric struct {
	Name  string   `json:"name"`
	Nodes []string `json:"nodes"` // container names
}

// Label is put on a node.
type Label struct {
	Node  string `json:"node"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Names become parts of host names and of Docker networks' names.
var nameForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// NewRequest checks and completes what was said on the command line.
func NewRequest(name string, workers int, fabrics, labels []string) (Request, error) {
	if !nameForm.MatchString(name) {
		return Request{}, fmt.Errorf("--name %q: use up to 32 lower-case letters, digits and dashes", name)
	}
	if workers < 0 || workers > 16 {
		return Request{}, fmt.Errorf("--workers %d: between 0 and 16", workers)
	}
	r := Request{Name: name, Workers: workers}
	for _, text := range fabrics {
		f, err := r.parseFabric(text)
		if err != nil {
			return Request{}, err
		}
		r.Fabrics = append(r.Fabrics, f)
	}
	for _, text := range labels {
		l, err := r.parseLabel(text)
		if err != nil {
			return Request{}, err
		}
		r.Labels = append(r.Labels, l)
	}
	return r, nil
}

// ControlPlane is the container of the only control-plane node.
func (r Request) ControlPlane() string { return r.Name + "-control-plane" }

// WorkerNames are the containers of the workers, named as kind names them.
func (r Request) WorkerNames() []string {
	var names []string
	for i := 1; i <= r.Workers; i++ {
		if i == 1 {
			names = append(names, r.Name+"-worker")
			continue
		}
		names = append(names, fmt.Sprintf("%s-worker%d", r.Name, i))
	}
	return names
}

// Nodes are all containers, the control plane first.
func (r Request) Nodes() []string { return append([]string{r.ControlPlane()}, r.WorkerNames()...) }

// node finds the container for what people write: worker, worker1, worker2, control-plane, or its full name.
func (r Request) node(text string) (string, error) {
	short := strings.TrimPrefix(text, r.Name+"-")
	if short == "worker1" {
		short = "worker"
	}
	full := r.Name + "-" + short
	if !slices.Contains(r.Nodes(), full) {
		return "", fmt.Errorf("there is no node %q: this cluster's nodes are %s", text, strings.Join(r.Nodes(), ", "))
	}
	return full, nil
}

// parseFabric reads NAME or NAME=node,node; a bare name means every worker.
func (r Request) parseFabric(text string) (Fabric, error) {
	name, nodes, listed := strings.Cut(text, "=")
	if !nameForm.MatchString(name) {
		return Fabric{}, fmt.Errorf("--fabric %q: a name of lower-case letters, digits and dashes is needed", text)
	}
	if slices.ContainsFunc(r.Fabrics, func(f Fabric) bool { return f.Name == name }) {
		return Fabric{}, fmt.Errorf("--fabric %s is given twice", name)
	}
	f := Fabric{Name: name, Nodes: r.WorkerNames()}
	if !listed {
		return f, nil
	}
	f.Nodes = nil
	for n := range strings.SplitSeq(nodes, ",") {
		full, err := r.node(n)
		if err != nil {
			return Fabric{}, fmt.Errorf("--fabric %s: %w", name, err)
		}
		f.Nodes = append(f.Nodes, full)
	}
	return f, nil
}

// parseLabel reads node=key=value.
func (r Request) parseLabel(text string) (Label, error) {
	part := strings.SplitN(text, "=", 3)
	if len(part) != 3 || part[1] == "" {
		return Label{}, fmt.Errorf("--label %q: write node=key=value", text)
	}
	node, err := r.node(part[0])
	if err != nil {
		return Label{}, fmt.Errorf("--label %s: %w", text, err)
	}
	return Label{Node: node, Key: part[1], Value: part[2]}, nil
}
