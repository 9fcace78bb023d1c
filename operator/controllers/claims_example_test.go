package controllers

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// The example gives the pod what it names.
func TestExampleOfAnAddressClaim(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "addressclaim.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var claim v1alpha1.AddressClaim
	if err := yaml.UnmarshalStrict(text, &claim); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.startManager()
	w.network(claim.Spec.NetworkName)
	claim.Namespace = w.namespace
	w.must(w.Create(w.ctx, &claim))
	w.reserved(claim.Name)
	pna := w.attached(w.pod(claim.Spec.PodName, claim.Spec.NetworkName, "node1"), 1)["net1"]
	if addressList(pna) != "10.20.0.9/24 fd00:20::9/64" || pna.Spec.MAC != claim.Spec.MAC {
		t.Errorf("got %s %s", addressList(pna), pna.Spec.MAC)
	}
}
