package binaries

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const containerdMod = `module example.org/tools

go 1.26.0

tool (
	github.com/containerd/containerd/v2/cmd/containerd
	github.com/containerd/containerd/v2/cmd/ctr
)

require (
	github.com/containerd/containerd/api v1.11.0 // indirect
	github.com/containerd/containerd/v2 v2.4.2 // indirect
)
`

func TestParse(t *testing.T) {
	m, err := parse("containerd", "/d", []byte(containerdMod), nil, "go1.26.1")
	if err != nil {
		t.Fatal(err)
	}
	want := []Tool{
		{"github.com/containerd/containerd/v2/cmd/containerd", "containerd"},
		{"github.com/containerd/containerd/v2/cmd/ctr", "ctr"},
	}
	if diff := cmp.Diff(want, m.Tools); diff != "" {
		t.Errorf("tools (-want +got)\n%s", diff)
	}
	if m.Version != "v2.4.2" || m.Tags == "" || !strings.Contains(m.LDFlags, "version.Version=v2.4.2") {
		t.Errorf("got %+v", m)
	}
}

func TestKeyChangesWithEveryInput(t *testing.T) {
	keys := map[string]string{}
	for name, in := range map[string]struct{ mod, sum, goVersion string }{
		"first":      {containerdMod, "", "go1.26.1"},
		"go version": {containerdMod, "", "go1.26.2"},
		"go.sum":     {containerdMod, "x", "go1.26.1"},
		"go.mod":     {strings.Replace(containerdMod, "v2.4.2", "v2.4.3", 1), "", "go1.26.1"},
	} {
		m, err := parse("containerd", "/d", []byte(in.mod), []byte(in.sum), in.goVersion)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := keys[m.Key]; taken {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[m.Key] = name
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct{ mod, want string }{
		"no tool":    {"module a\n", "module x: its go.mod lists no tool"},
		"no version": {"module a\ntool example.org/b\n", "does not require the module of example.org/b"},
		"no go.mod":  {"modul", "module x: reading go.mod"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := parse("x", "/d", []byte(test.mod), nil, "go1"); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// The modules of this repository build what the node image and envtest ask for by name.
func TestRepositoryModules(t *testing.T) {
	for name, programs := range map[string][]string{
		"kubernetes": {"kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubeadm", "kubectl", "kubelet"},
		"etcd":       {"etcd"},
		"containerd": {"containerd", "containerd-shim-runc-v2", "ctr"},
		"coredns":    {"coredns"},
	} {
		m, err := Load(filepath.Join("..", "..", "node-image"), name, "go1")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, tool := range m.Tools {
			got = append(got, tool.Binary)
		}
		if diff := cmp.Diff(programs, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}
