package verify

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// local hosts are everybody's.
var local = []string{"localhost", "127.0.0.1"}

// someonesHome is a folder that no other machine has.
var someonesHome = regexp.MustCompile(`/home/[a-z][a-z0-9_-]+/|/Users/[A-Za-z]+/|/wor[k]/(main|shared)\b`)

// TestNothingOfThisMachine looks for mirrors and absolute paths in every tracked file.
func TestNothingOfThisMachine(t *testing.T) {
	names := machineNames(t)
	for _, file := range trackedFiles(t) {
		text, err := os.ReadFile(filepath.Join(root, file))
		// A tracked file may be deleted in the working tree.
		if os.IsNotExist(err) || bytes.IndexByte(text, 0) >= 0 {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.Contains(string(text), name) {
				t.Errorf("%s names %s, with which this machine is set up: take it from its configuration", file, name)
			}
		}
		if found := someonesHome.Find(text); found != nil {
			t.Errorf("%s has the path %s of someone's machine", file, found)
		}
	}
}

func TestHostsOf(t *testing.T) {
	got := hostsOf("https://user:secret@goproxy.example.internal:8443/x,direct|https://localhost:1234 deb [signed] http://apt.example.internal/debian bookworm")
	if want := []string{"goproxy.example.internal", "apt.example.internal"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// machineNames are the hosts of the package registries that this machine is set up with, and where the checkout is.
func machineNames(t *testing.T) []string {
	t.Helper()
	var settings strings.Builder
	for _, name := range []string{"GOPROXY", "GOSUMDB"} {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatalf("go env %s: %v", name, err)
		}
		settings.Write(out)
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"} {
		settings.WriteString(os.Getenv(name) + "\n")
	}
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*", "/etc/apt/apt.conf.d/*proxy*", "/etc/pip.conf"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			// A file that cannot be read names no mirror that could have been copied.
			text, _ := os.ReadFile(file)
			settings.Write(append(text, '\n'))
		}
	}
	names := hostsOf(settings.String())
	if checkout, err := filepath.Abs(root); err == nil && strings.Count(checkout, "/") > 1 {
		names = append(names, checkout+"/")
	}
	return names
}

func hostsOf(settings string) (hosts []string) {
	for _, word := range strings.FieldsFunc(settings, func(r rune) bool { return strings.ContainsRune(" \t\n,|\"';=", r) }) {
		u, err := url.Parse(word)
		if err == nil && u.Hostname() != "" && !slices.Contains(local, u.Hostname()) && !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

func trackedFiles(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		if os.Getenv("MULTINET_REQUIRE_ALL") == "1" {
			t.Fatalf("listing tracked files: %v", err)
		}
		t.Skip("skipped: needs a git checkout: looking for names of this machine")
	}
	return strings.Split(strings.Trim(string(out), "\x00"), "\x00")
}
