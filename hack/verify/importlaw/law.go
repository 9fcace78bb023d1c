// Package importlaw holds the law of design: which room of this repository may import what. It reads the import
// lines of every Go file, those of other build tags included, and needs no compiler.
package importlaw

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path of this repository's Go module.
const module = "github.com/multinet-dev/multinet"

// rule forbids files below one folder to import packages below others.
type rule struct {
	folder string
	// except are folders below folder that the rule leaves alone.
	except []string
	// tests tells that the rule holds in files of tests too.
	tests bool
	// forbidden packages; a leading / stands for this module.
	forbidden []string
	// allowed are packages below forbidden ones that may be imported.
	allowed []string
	because string
}

var netlink = []string{
	"github.com/vishvananda/netlink", "github.com/vishvananda/netns", "github.com/mdlayher/netlink", "github.com/google/nftables",
}

var law = []rule{
	{folder: "apis", tests: true, forbidden: []string{"/"}, allowed: []string{"/apis"},
		because: "apis is the contract that all rooms share"},
	{folder: "operator", tests: true, forbidden: []string{"/node-agent", "/kubectl-multinet", "/demo", "/hack"},
		because: "operator and node-agent meet in the API only"},
	{folder: "node-agent", tests: true, forbidden: []string{"/operator", "/kubectl-multinet", "/demo", "/hack"},
		because: "operator and node-agent meet in the API only"},
	{folder: "kubectl-multinet", tests: true, forbidden: []string{"/"}, allowed: []string{"/apis", "/kubectl-multinet"},
		because: "the plugin knows the contract alone"},
	// hack/bench measures against the same netlink calls made by hand.
	{folder: ".", except: []string{"node-agent/plumb", "node-agent/kernel", "node-agent/qos", "hack/bench"}, forbidden: netlink,
		because: "only node-agent/{plumb,kernel,qos} talk to the kernel"},
	{folder: "node-agent", forbidden: []string{"sigs.k8s.io/controller-runtime"},
		because: "the agent runs on every node and stays small"},
	{folder: "node-agent/multinet-cni", forbidden: []string{"k8s.io/client-go", "k8s.io/api", "k8s.io/apimachinery"},
		because: "linking client-go costs the shim 8 ms for each call"},
	{folder: "node-agent/plan", forbidden: []string{"k8s.io/client-go", "os"}, because: "plan is pure"},
	{folder: "operator/decide", forbidden: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "os"}, because: "decide is pure"},
	{folder: "operator/ipam", forbidden: []string{"k8s.io/client-go", "sigs.k8s.io/controller-runtime", "os"}, because: "ipam is pure"},
}

// Check returns one line for each import that breaks the law, in the order of the files. The root of files is
// that of the repository. Folders with a go.mod are other modules, and testdata holds no code of ours.
func Check(files fs.FS) (violations []string, err error) {
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skipFolder(files, name)
		case path.Ext(name) != ".go":
			return nil
		}
		imports, err := importsOf(files, name)
		if err != nil {
			return err
		}
		for _, i := range imports {
			violations = append(violations, judge(name, i)...)
		}
		return nil
	})
	return violations, err
}

func skipFolder(files fs.FS, name string) error {
	base := path.Base(name)
	if base == "testdata" || name != "." && strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(files, path.Join(name, "go.mod")); err == nil && name != "." {
		return fs.SkipDir
	}
	return nil
}

func importsOf(files fs.FS, name string) ([]string, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", name, err)
	}
	var imports []string
	for _, spec := range file.Imports {
		i, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("parsing %s: import %s: %w", name, spec.Path.Value, err)
		}
		imports = append(imports, i)
	}
	return imports, nil
}

// judge asks every rule about one import of one file.
func judge(file, imported string) (violations []string) {
	for _, r := range law {
		if r.holdsFor(file) && anyBelow(imported, r.forbidden) && !anyBelow(imported, r.allowed) {
			violations = append(violations, fmt.Sprintf("%s imports %s: %s", file, imported, r.because))
		}
	}
	return violations
}

func (r rule) holdsFor(file string) bool {
	isException := slices.ContainsFunc(r.except, func(folder string) bool { return below(file, folder) })
	return below(file, r.folder) && !isException && (r.tests || !strings.HasSuffix(file, "_test.go"))
}

func anyBelow(imported string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		if own, ok := strings.CutPrefix(root, "/"); ok {
			root = path.Join(module, own)
		}
		return below(imported, root)
	})
}

// below tells whether name is root or stands under it.
func below(name, root string) bool {
	return root == "." || name == root || strings.HasPrefix(name, root+"/")
}
