package verify

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const migration = "docs/migration.md"

// TestMigrationIsTrue runs the commands of the page on its own example and compares what they print.
func TestMigrationIsTrue(t *testing.T) {
	text := read(t, migration)
	examples := blocks(text, "yaml")
	if len(examples) != 1 {
		t.Fatalf("%s has %d examples, want one", migration, len(examples))
	}
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "multus.yaml"), []byte(examples[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	plugin := filepath.Join(folder, "kubectl-multinet")
	build := exec.Command("go", "build", "-o", plugin, "./kubectl-multinet")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the plugin: %v\n%s", err, out)
	}
	ran := 0
	for _, block := range blocks(text, "console") {
		for command, want := range transcript(block) {
			arguments, isOurs := strings.CutPrefix(command, "kubectl multinet ")
			if !isOurs {
				continue
			}
			ran++
			run := exec.Command(plugin, strings.Fields(arguments)...)
			run.Dir = folder
			got, err := run.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
				t.Errorf("%s: %v", command, err)
			}
			if diff := cmp.Diff(want, string(got)); diff != "" {
				t.Errorf("%s: %s prints (-page +got):\n%s", migration, command, diff)
			}
		}
	}
	if ran != 2 {
		t.Errorf("%d commands ran, want lint and convert", ran)
	}
}

// transcript splits a console block into commands and what they print.
func transcript(block string) map[string]string {
	prints := map[string]string{}
	command := ""
	for line := range strings.Lines(block) {
		if next, isCommand := strings.CutPrefix(line, "$ "); isCommand {
			command = strings.TrimSpace(next)
			continue
		}
		prints[command] += line
	}
	return prints
}

// netAttachDef is what the page shows of another project's API, to be read strictly like all else.
type netAttachDef struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              struct {
		Config string `json:"config,omitempty"`
	} `json:"spec,omitempty"`
}

func (d *netAttachDef) DeepCopyObject() runtime.Object {
	out := *d
	d.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	return &out
}

func addNetAttachDef(scheme *runtime.Scheme) error {
	group := schema.GroupVersion{Group: "k8s.cni.cncf.io", Version: "v1"}
	scheme.AddKnownTypeWithName(group.WithKind("NetworkAttachmentDefinition"), &netAttachDef{})
	return nil
}
