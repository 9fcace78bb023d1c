package v1alpha1_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// TestNoFieldOfAnAttachmentIsForgotten: CEL cannot say "all but one", so that each field but detach of the spec has a rule of its own.
func TestNoFieldOfAnAttachmentIsForgotten(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "manifests", "crds", "multinet.dev_podnetworkattachments.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	presence := ""
	for _, rule := range spec.XValidations {
		presence += rule.Rule + " && "
	}
	for name, field := range spec.Properties {
		kept := func(r apiextensionsv1.ValidationRule) bool { return r.Rule == "self == oldSelf" }
		if name != "qos" && name != "detach" && !slices.ContainsFunc(field.XValidations, kept) {
			t.Errorf("spec.%s may change", name)
		}
		if name != "detach" && !slices.Contains(spec.Required, name) && !strings.Contains(presence, "has(self."+name+") == has(oldSelf."+name+") && ") {
			t.Errorf("spec.%s may come and go", name)
		}
	}
}
