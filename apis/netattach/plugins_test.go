package netattach

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

func TestPlugins(t *testing.T) {
	for name, c := range map[string]struct{ config, types, problem string }{
		"one":                {`{"name": "a", "type": "bridge"}`, "bridge", ""},
		"with IPAM":          {`{"name": "a", "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}`, "bridge host-local", ""},
		"IPAM without type":  {`{"name": "a", "type": "bridge", "ipam": {}}`, "bridge", ""},
		"a chain":            {`{"name": "a", "plugins": [{"type": "ptp", "ipam": {"type": "host-local"}}, {"type": "tuning"}, {"type": "portmap"}]}`, "ptp host-local tuning portmap", ""},
		"one twice":          {`{"name": "a", "plugins": [{"type": "tuning"}, {"type": "tuning"}]}`, "tuning", ""},
		"IPAM in the chain":  {`{"name": "a", "plugins": [{"type": "bridge"}, {"type": "vlan", "ipam": {"type": "static"}}]}`, "bridge vlan static", ""},
		"no JSON":            {`{"name": `, "", "is not JSON"},
		"no object":          {`[]`, "", "is a list, where an object is needed"},
		"no name":            {`{"type": "bridge"}`, "bridge", "name is missing"},
		"a path":             {`{"name": "a", "type": "../../bin/sh"}`, "../../bin/sh", "type: the name of a CNI plugin is needed"},
		"a path as IPAM":     {`{"name": "a", "type": "ptp", "ipam": {"type": "/bin/sh"}}`, "ptp /bin/sh", "ipam.type: the name of a CNI plugin is needed"},
		"no type":            {`{"name": "a", "plugins": [{}]}`, "", "plugins[0].type: the name of a CNI plugin is needed"},
		"no plugin":          {`{"name": "a", "plugins": []}`, "", "plugins: names no plugin"},
		"version of nothing": {`{"name": "a", "type": "ptp", "cniVersion": "7"}`, "ptp", `"7" is not a version of CNI`},
		"a long type":        {`{"name": "a", "type": "` + strings.Repeat("x", 33) + `"}`, strings.Repeat("x", 33), "is longer than 32 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			types, problems := Plugins(c.config)
			if got := strings.TrimSpace(strings.Join(types, " ")); got != c.types {
				t.Errorf("types %q, want %q", got, c.types)
			}
			if c.problem == "" && len(problems) > 0 || c.problem != "" && (len(problems) == 0 || !strings.Contains(problems[0].Path+": "+problems[0].Text, c.problem)) {
				t.Errorf("problems %v, want %q", problems, c.problem)
			}
		})
	}
}

// TestDelegatedConfiguration: plugins get what is written, to the byte, with a name where there is none.
func TestDelegatedConfiguration(t *testing.T) {
	const rest = `"cniVersion": "0.3.1",  "type": "bridge", "ipam": {"type": "host-local", "subnet": "10.0.0.0/24"}}`
	for name, c := range map[string]struct{ config, want string }{
		"no name":      {"  { " + rest + "\n", `{"name":"storage", ` + rest},
		"a name":       {`{"name": "other", ` + rest, `{"name": "other", ` + rest},
		"a list":       {`{"plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}`, `{"name":"storage","plugins": [{"type": "bridge", "ipam": {"type": "host-local"}}]}`},
		"null for one": {`{"name": null, ` + rest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := Translate(storage(c.config))
			if c.want == "" {
				if got.Verdict != Refused || got.Network != nil {
					t.Errorf("%s, %v", got.Verdict, got.Network)
				}
				return
			}
			want := &v1alpha1.NetworkSpec{Type: v1alpha1.NetworkTypeCNI, CNI: &v1alpha1.CNISpec{Config: c.want}, NamespaceSelector: namespaceSelector([]string{"demo"})}
			if diff := cmp.Diff(want, got.Network); diff != "" || got.Verdict != Delegated {
				t.Errorf("%s (-want +got):\n%s", got.Verdict, diff)
			}
			if fmt.Sprint(got.Types) != "[bridge host-local]" || len(got.Notes) > 0 {
				t.Errorf("types %v, notes %v", got.Types, got.Notes)
			}
			if types, problems := Plugins(got.Network.CNI.Config); len(problems) > 0 || cmp.Diff(got.Types, types) != "" {
				t.Errorf("read again: %v, %v", types, problems)
			}
		})
	}
}
