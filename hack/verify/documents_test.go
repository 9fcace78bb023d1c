package verify

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// root is the repository.
var root = filepath.Join("..", "..")

// TestManifestsAreStrict reads every document that a user may apply, and every example in the documentation, into
// its type. A field that the type does not have, or has twice, is an error.
func TestManifestsAreStrict(t *testing.T) {
	decode := strictDecoder(t)
	checked := 0
	for _, folder := range []string{"demo", "manifests", "hack/e2e"} {
		for _, file := range filesBelow(t, folder, ".yaml") {
			// kustomize reads its own file strictly.
			if filepath.Base(file) == "kustomization.yaml" {
				continue
			}
			text := read(t, file)
			t.Run(file, func(t *testing.T) { checked += checkDocuments(t, decode, text) })
		}
	}
	for _, file := range documentation(t) {
		for i, block := range blocks(read(t, file), "yaml") {
			t.Run(fmt.Sprintf("%s, example %d", file, i+1), func(t *testing.T) { checked += checkDocuments(t, decode, block) })
		}
	}
	if checked < 20 {
		t.Errorf("only %d documents were found", checked)
	}
}

func TestStrictDecoderFires(t *testing.T) {
	decode := strictDecoder(t)
	for name, text := range map[string]string{
		"unknown field": "apiVersion: multinet.dev/v1alpha1\nkind: Network\nmetadata: {name: a}\nspec: {type: Macvlan, vlan: 7}\n",
		"field twice":   "apiVersion: v1\nkind: Pod\nmetadata: {name: a, name: b}\n",
		"unknown kind":  "apiVersion: multinet.dev/v1alpha1\nkind: Netwerk\nmetadata: {name: a}\n",
	} {
		if decode([]byte(text)) == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func strictDecoder(t *testing.T) func([]byte) error {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme, addNetAttachDef} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	return func(document []byte) error {
		_, _, err := decoder.Decode(document, nil, nil)
		return err
	}
}

// checkDocuments returns how many there are.
func checkDocuments(t *testing.T, decode func([]byte) error, text string) (n int) {
	reader := yaml.NewDocumentDecoder(io.NopCloser(strings.NewReader(text)))
	defer reader.Close()
	buffer := make([]byte, len(text)+1)
	for {
		size, err := reader.Read(buffer)
		if err == io.EOF {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if document := buffer[:size]; hasContent(document) {
			n++
			if err := decode(document); err != nil {
				t.Errorf("document %d: %v", n, err)
			}
		}
	}
}

func hasContent(document []byte) bool {
	for line := range strings.Lines(string(document)) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return true
		}
	}
	return false
}

var (
	link   = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	target = regexp.MustCompile("(?:^|[`\\s(])make ([a-z][a-z-]*)")
)

// TestDocumentationIsTrue looks whether files that are linked and targets of make that are named exist.
func TestDocumentationIsTrue(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, file := range documentation(t) {
		text := read(t, file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links %s, which does not exist", file, m[1])
			}
		}
		commands := strings.Join(append(blocks(text, "sh"), inlineCode(text)...), "\n")
		for _, m := range target.FindAllStringSubmatch(commands, -1) {
			if !regexp.MustCompile(`(?m)^([a-z-]+ )*` + m[1] + `( [a-z-]+)*:`).MatchString(makefile) {
				t.Errorf("%s names make %s, which does not exist", file, m[1])
			}
		}
	}
}

// documentation are the pages that are written by hand or generated from code.
func documentation(t *testing.T) []string {
	t.Helper()
	pages := append(filesBelow(t, "docs", ".md"), filesBelow(t, "hack", ".md")...)
	pages = append(pages, filesBelow(t, "demo", ".md")...)
	return append(pages, "README.md")
}

// blocks returns the fenced blocks of a language.
func blocks(text, language string) (all []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

func inlineCode(text string) []string {
	return regexp.MustCompile("`[^`\n]+`").FindAllString(text, -1)
}

// filesBelow returns paths from the root of the repository. Folders of test data that is wrong on purpose are left out.
func filesBelow(t *testing.T, folder, extension string) (files []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(root), folder, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(name) == extension {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
