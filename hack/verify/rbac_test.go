package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// rights is a line "group/resource[=name]: verb verb" for each resource; the core group is "core", and a role in a namespace
// has "namespace/" before it. What stands here was weighed; a marker in the code that asks for more fails this test.
var rights = map[string][]string{
	"operator": {
		"apiextensions.k8s.io/customresourcedefinitions: create",
		"apiextensions.k8s.io/customresourcedefinitions=network-attachment-definitions.k8s.cni.cncf.io: get",
		"core/namespaces: get list watch",
		"core/nodes: get list watch",
		"core/pods: get list watch",
		"core/pods/status: patch",
		"core/resourcequotas: list",
		"events.k8s.io/events: create patch",
		"k8s.cni.cncf.io/network-attachment-definitions: get list watch",
		"multinet-system/coordination.k8s.io/leases: create get update",
		"multinet.dev/addressclaims/status: patch",
		"multinet.dev/addressclaims: create delete get list watch",
		"multinet.dev/networks: create delete get list patch watch",
		"multinet.dev/networks/status: patch",
		"multinet.dev/podnetworkattachments: create delete get list patch watch",
		"multinet.dev/qosclasses: get list patch watch",
		"multinet.dev/qosclasses/status: patch",
		"resource.k8s.io/deviceclasses: create get list patch watch",
		"resource.k8s.io/resourceclaims: get list watch",
		"resource.k8s.io/resourceclaimtemplates: create delete get list watch",
		"resource.k8s.io/resourceslices: get list watch",
	},
	"agent": {
		"core/nodes: get list watch",
		"core/pods: get",
		"core/pods/status: patch",
		"default/core/events: create patch",
		"multinet.dev/podnetworkattachments: get list patch watch",
		"multinet.dev/podnetworkattachments/status: patch",
		"resource.k8s.io/resourceclaims: get",
		"resource.k8s.io/resourceclaims/driver=multinet.dev: associated-node:patch",
		"resource.k8s.io/resourceclaims/status: patch",
		"resource.k8s.io/resourceslices: create delete get list patch update watch",
	},
}

func TestRights(t *testing.T) {
	for program, want := range rights {
		t.Run(program, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(root, "manifests", "rbac", program, "role.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for document := range strings.SplitSeq(string(text), "\n---\n") {
				// A ClusterRole has the same fields, and no namespace.
				var role rbacv1.Role
				if err := yaml.Unmarshal([]byte(document), &role); err != nil {
					t.Fatal(err)
				}
				if role.Name != "multinet-"+program {
					t.Errorf("a role is named %q, which accounts.yaml does not bind", role.Name)
				}
				got = append(got, lines(role)...)
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("rights of the %s (-table +manifests/rbac):\n%s", program, diff)
			}
		})
	}
}

func lines(role rbacv1.Role) (all []string) {
	prefix := ""
	if role.Namespace != "" {
		prefix = role.Namespace + "/"
	}
	for _, rule := range role.Rules {
		names := ""
		if len(rule.ResourceNames) > 0 {
			names = "=" + strings.Join(rule.ResourceNames, ",")
		}
		for _, group := range rule.APIGroups {
			if group == "" {
				group = "core"
			}
			for _, resource := range rule.Resources {
				all = append(all, fmt.Sprintf("%s%s/%s%s: %s", prefix, group, resource, names, strings.Join(slices.Sorted(slices.Values(rule.Verbs)), " ")))
			}
		}
	}
	return all
}
