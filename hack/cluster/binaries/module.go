// Package binaries builds the programs of a cluster from Go modules, once per set of inputs.
package binaries

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// Module is one tools module below hack/node-image. Its go.mod says which programs it builds (the tool
// block) and at which version: there is no second list.
type Module struct {
	Name    string
	Dir     string
	Version string
	Tools   []Tool
	Tags    string
	LDFlags string
	Key     string // changes with everything that changes the programs
}

// Tool is one program of a module.
type Tool struct {
	Package string
	Binary  string
}

// Load reads the tools module called name in folder; goVersion is part of its key.
func Load(folder, name, goVersion string) (Module, error) {
	dir := filepath.Join(folder, name)
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return Module{}, fmt.Errorf("module %s: %w", name, err)
	}
	sum, err := os.ReadFile(filepath.Join(dir, "go.sum"))
	if err != nil {
		return Module{}, fmt.Errorf("module %s: %w", name, err)
	}
	return parse(name, dir, mod, sum, goVersion)
}

func parse(name, dir string, mod, sum []byte, goVersion string) (Module, error) {
	file, err := modfile.Parse(dir, mod, nil)
	if err != nil {
		return Module{}, fmt.Errorf("module %s: reading go.mod: %w", name, err)
	}
	m := Module{Name: name, Dir: dir}
	for _, t := range file.Tool {
		m.Tools = append(m.Tools, Tool{Package: t.Path, Binary: binaryName(t.Path)})
	}
	if len(m.Tools) == 0 {
		return Module{}, fmt.Errorf("module %s: its go.mod lists no tool", name)
	}
	m.Version = versionOf(file, m.Tools[0].Package)
	if m.Version == "" {
		return Module{}, fmt.Errorf("module %s: its go.mod does not require the module of %s", name, m.Tools[0].Package)
	}
	m.Tags, m.LDFlags = flags(name, m.Version)
	m.Key = key(mod, sum, []byte(m.Tags), []byte(m.LDFlags), []byte(goVersion))
	return m, nil
}

// versionOf is the version of the longest required module that contains the package.
func versionOf(file *modfile.File, pkg string) string {
	best, version := "", ""
	for _, r := range file.Require {
		p := r.Mod.Path
		if (pkg == p || strings.HasPrefix(pkg, p+"/")) && len(p) > len(best) {
			best, version = p, r.Mod.Version
		}
	}
	return version
}

// binaryName is what `go install` would call the program, except for etcd, whose package is called server.
func binaryName(pkg string) string {
	base := path.Base(pkg)
	if semver.IsValid(base) {
		base = path.Base(path.Dir(pkg))
	}
	if base == "server" {
		return "etcd"
	}
	return base
}

// flags are what the upstream makefiles set; without a version kubeadm and kubelet refuse each other.
func flags(name, version string) (tags, ldflags string) {
	ldflags = "-s -w"
	switch name {
	case "kubernetes":
		const pkg = "k8s.io/component-base/version"
		parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
		ldflags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=clean",
			pkg, version, parts[0], parts[1])
	case "containerd":
		tags = "no_zfs no_btrfs no_devmapper"
		ldflags += " -X github.com/containerd/containerd/v2/version.Version=" + version
	}
	return tags, ldflags
}

func key(inputs ...[]byte) string {
	hash := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(hash, "%d:", len(in))
		hash.Write(in)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12]
}
