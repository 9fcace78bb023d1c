package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// inTestdata makes names in the output those of the files alone.
func inTestdata(t *testing.T) {
	t.Helper()
	t.Chdir("testdata")
}

func TestLint(t *testing.T) {
	inTestdata(t)
	for file, status := range map[string]int{"native.yaml": 0, "adopted.yaml": 0, "delegated.yaml": 1, "refused.yaml": 1, "shared.yaml": 0, "list.json": 1} {
		t.Run(file, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run([]string{"lint", "-f", file}, nil, &stdout, &stderr); got != status || stderr.Len() > 0 {
				t.Errorf("exit status %d, want %d: %s", got, status, stderr.String())
			}
			compare(t, file+".golden", stdout.String())
		})
	}
}

func TestConvert(t *testing.T) {
	inTestdata(t)
	var stdout, stderr bytes.Buffer
	if got := run([]string{"convert", "-f", "native.yaml", "-f", "delegated.yaml"}, nil, &stdout, &stderr); got != 0 || stderr.Len() > 0 {
		t.Errorf("exit status %d: %s", got, stderr.String())
	}
	compare(t, "networks.golden", stdout.String())
}

// TestStandardInput reads what kubectl get -o yaml writes, and gives namespaces to what has none.
func TestStandardInput(t *testing.T) {
	text, err := os.Open(filepath.Join("testdata", "delegated.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	var stdout, stderr bytes.Buffer
	if got := run([]string{"lint", "-n", "team", "-f", "-"}, text, &stdout, &stderr); got != 1 {
		t.Errorf("exit status %d: %s", got, stderr.String())
	}
	if want := "<stdin>:28:13: NetworkAttachmentDefinition team/plain: native"; !strings.Contains(stdout.String(), want) {
		t.Errorf("output lacks %q:\n%s", want, stdout.String())
	}
}

func TestFolder(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if got := run([]string{"lint", "-f", "testdata"}, nil, &stdout, &stderr); got != 1 {
		t.Errorf("exit status %d: %s", got, stderr.String())
	}
	for _, want := range []string{"testdata/native.yaml:8:11:", "testdata/list.json:", "testdata/refused.yaml:"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, stdout.String())
		}
	}
}

func TestWrongUse(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("a: [1\nb: 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"nothing":         {nil, "usage: kubectl multinet COMMAND"},
		"unknown command": {[]string{"check", "-f", "x"}, `error: there is no command "check": lint and convert`},
		"unknown flag":    {[]string{"lint", "--file", "x"}, "flag provided but not defined: -file"},
		"file without -f": {[]string{"lint", "x.yaml"}, `unexpected argument "x.yaml": files are given with -f`},
		"no such file":    {[]string{"lint", "-f", "nothing.yaml"}, "nothing.yaml: no such file"},
		"no YAML":         {[]string{"lint", "-f", broken}, "broken.yaml: reading YAML: yaml: line 1"},
		"no cluster":      {[]string{"lint", "--kubeconfig", "nothing.conf"}, "finding the cluster: stat nothing.conf"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if got := run(c.args, nil, &stdout, &stderr); got != 2 || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
				t.Errorf("exit status %d, %q, %q, want %q", got, stdout.String(), stderr.String(), c.want)
			}
		})
	}
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", golden, diff)
	}
}
