package cni

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var stanza = Stanza{Type: "multinet-cni", Socket: "/s", Selected: "/a", Deleted: "/d"}

const ours = `{"type":"multinet-cni","socket":"/s","selectedDir":"/a","deletedDir":"/d"}`

func TestChain(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"on one line": {
			`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}],"x":1}`,
			`{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},` + ours + `],"x":1}`,
		},
		"with indentation": {
			"{\n\t\"plugins\" : [\n\t\t{ \"type\": \"a\" } ,\n\t\t{\"type\":\"b\", \"later\": [1.0]}\n\t] , \"cniVersion\": \"0.3.1\"}\n",
			"{\n\t\"plugins\" : [\n\t\t{ \"type\": \"a\" } ,\n\t\t{\"type\":\"b\", \"later\": [1.0]},\n\t\t" + ours + "\n\t] , \"cniVersion\": \"0.3.1\"}\n",
		},
		"another is behind it": {
			`{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}, ` + ours + `, {"type":"mesh"}]}`,
			`{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}, ` + ours + `, {"type":"mesh"}]}`,
		},
		"of an older agent": {
			`{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}, {"type": "multinet-cni", "old": true}]}`,
			`{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}, ` + ours + `]}`,
		},
		"a key of the same name further down": {
			`{"cniVersion":"1.0.0","more":{"plugins":[]},"plugins":[{"type":"bridge","plugins":[{"type":"multinet-cni"}]}]}`,
			`{"cniVersion":"1.0.0","more":{"plugins":[]},"plugins":[{"type":"bridge","plugins":[{"type":"multinet-cni"}]},` + ours + `]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, changed, err := chain([]byte(test.text), stanza)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" || changed != (test.text != test.want) {
				t.Errorf("changed %v: %s", changed, diff)
			}
			again, changed, err := chain(got, stanza)
			if err != nil || changed || !bytes.Equal(again, got) {
				t.Errorf("a second time: %s, %v, %v", again, changed, err)
			}
		})
	}
}

func TestChainRefuses(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"half a file":     {`{"cniVersion":"1.0.0","plugins":[`, "unexpected end"},
		"no object":       {`[]`, "cannot unmarshal"},
		"no list":         {`{"cniVersion":"1.0.0","plugins":{}}`, "no list"},
		"none":            {`{"cniVersion":"1.0.0"}`, "no plugins"},
		"twice":           {`{"cniVersion":"1.0.0","plugins":[{"type":"a"}],"plugins":[]}`, "twice"},
		"empty":           {`{"cniVersion":"1.0.0","plugins":[]}`, "default network"},
		"nobody before":   {`{"cniVersion":"1.0.0","plugins":[{"type":"multinet-cni"}]}`, "default network"},
		"no version":      {`{"plugins":[{"type":"a"}]}`, "cniVersion"},
		"newer version":   {`{"cniVersion":"2.0.0","plugins":[{"type":"a"}]}`, "2.0.0"},
		"newer among all": {`{"cniVersion":"1.0.0","cniVersions":["1.0.0","1.9.0"],"plugins":[{"type":"a"}]}`, "1.9.0"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := chain([]byte(test.text), stanza); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
}

// FuzzChain: what is put in comes out to the byte, and stays JSON.
func FuzzChain(f *testing.F) {
	f.Add([]byte(`{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}]}`))
	f.Add([]byte("{\n  \"plugins\": [\n    {\"type\": \"bridge\"} \n ],\"cniVersion\":\"1.1.0\"}"))
	f.Add([]byte(`{"cniVersion":"1.0.0","plugins":[{"type":"a"},{"type":"multinet-cni"},{"type":"multinet-cni"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		chained, changed, err := chain(text, stanza)
		if err != nil {
			return
		}
		if !json.Valid(chained) {
			t.Fatalf("no JSON: %s", chained)
		}
		had := bytes.Contains(text, []byte("multinet-cni"))
		restored, taken, err := unchain(chained)
		if err != nil || !taken || !json.Valid(restored) {
			t.Fatalf("%s is taken out of %s: %v, %v", restored, chained, taken, err)
		}
		if changed && !had && !bytes.Equal(restored, text) {
			t.Errorf("was %s, is %s", text, restored)
		}
		if _, again, err := unchain(restored); err != nil || again {
			t.Errorf("something is left in %s: %v", restored, err)
		}
	})
}

// place is a node's with the given files.
func place(t *testing.T, files map[string]string) Place {
	t.Helper()
	dir := t.TempDir()
	p := Place{ConfDir: filepath.Join(dir, "net.d"), BinDir: filepath.Join(dir, "bin"), Program: filepath.Join(dir, "program"), Stanza: stanza}
	for _, folder := range []string{p.ConfDir, p.BinDir} {
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, p.Program, "v1")
	for name, text := range files {
		write(t, filepath.Join(p.ConfDir, name), text)
	}
	return p
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func filesOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[entry.Name()] = string(text)
	}
	return files
}

const (
	list        = `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}`
	chainedList = `{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"},` + ours + `]}`
	single      = `{"cniVersion":"1.0.0","name":"n","type":"bridge","new":{"b":1}}`
	wrapped     = `{
  "cniVersion": "1.0.0",
  "name": "n",
  "plugins": [
    {
      "cniVersion": "1.0.0",
      "name": "n",
      "type": "bridge",
      "new": {
        "b": 1
      }
    },
    ` + ours + `
  ]
}
`
)

func TestEnsureAndTakeOut(t *testing.T) {
	for name, test := range map[string]struct{ before, want map[string]string }{
		"the first list": {
			map[string]string{"10-a.conflist": list, "20-b.conflist": list, "note.txt": "x"},
			map[string]string{"10-a.conflist": chainedList, "20-b.conflist": list, "note.txt": "x"},
		},
		"a single plugin": {
			map[string]string{"10-a.conf": single, "20-b.conflist": list},
			map[string]string{"10-a.conf": single, "10-a.a-multinet.conflist": wrapped, "20-b.conflist": list},
		},
		"a single plugin with the other extension": {
			map[string]string{"10-a.json": single},
			map[string]string{"10-a.json": single, "10-a.a-multinet.conflist": wrapped},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := place(t, test.before)
			if changed, err := p.Ensure(); err != nil || !changed {
				t.Fatalf("changed %v, %v", changed, err)
			}
			if diff := cmp.Diff(test.want, filesOf(t, p.ConfDir)); diff != "" {
				t.Error(diff)
			}
			if changed, err := p.Ensure(); err != nil || changed {
				t.Errorf("a second time: changed %v, %v", changed, err)
			}
			if diff := cmp.Diff(map[string]string{"multinet-cni": "v1"}, filesOf(t, p.BinDir)); diff != "" {
				t.Error(diff)
			}
			for _, program := range []bool{false, true, true} {
				if err := p.TakeOut(program); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(test.before, filesOf(t, p.ConfDir)); diff != "" {
				t.Error(diff)
			}
			if left := filesOf(t, p.BinDir); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

func TestTakeOutOfNothing(t *testing.T) {
	p := place(t, map[string]string{"10-a.conflist": "{", "20-b.conf": single})
	if err := p.TakeOut(true); err != nil {
		t.Error(err)
	}
	p.ConfDir += "-that-is-not-there"
	if err := p.TakeOut(true); err != nil {
		t.Error(err)
	}
}

// TestEnsureFollows: the cluster's own network writes its file anew, changes it into a list, or goes.
func TestEnsureFollows(t *testing.T) {
	p := place(t, nil)
	ensure := func(want map[string]string) {
		t.Helper()
		if _, err := p.Ensure(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, filesOf(t, p.ConfDir)); diff != "" {
			t.Error(diff)
		}
	}
	if _, err := p.Ensure(); err == nil || !strings.Contains(err.Error(), "not installed yet") {
		t.Errorf("error is %v", err)
	}
	write(t, filepath.Join(p.ConfDir, "10-a.conf"), single)
	ensure(map[string]string{"10-a.conf": single, "10-a.a-multinet.conflist": wrapped})
	write(t, filepath.Join(p.ConfDir, "10-a.conf"), strings.ReplaceAll(single, "bridge", "ptp"))
	ensure(map[string]string{"10-a.conf": strings.ReplaceAll(single, "bridge", "ptp"), "10-a.a-multinet.conflist": strings.ReplaceAll(wrapped, "bridge", "ptp")})
	write(t, filepath.Join(p.ConfDir, "05-first.conflist"), list)
	ensure(map[string]string{"10-a.conf": strings.ReplaceAll(single, "bridge", "ptp"), "05-first.conflist": chainedList})
	write(t, filepath.Join(p.ConfDir, "05-first.conflist"), list)
	ensure(map[string]string{"10-a.conf": strings.ReplaceAll(single, "bridge", "ptp"), "05-first.conflist": chainedList})
	write(t, filepath.Join(p.ConfDir, "05-first.conflist"), list[:20])
	if _, err := p.Ensure(); err == nil || !strings.Contains(err.Error(), "05-first.conflist") {
		t.Errorf("half a file: %v", err)
	}
}

// TestProgramIsReplacedByName: the kernel refuses to write a program that runs, and a plugin that runs keeps its file.
func TestProgramIsReplacedByName(t *testing.T) {
	p := place(t, map[string]string{"10-a.conflist": list})
	if _, err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	running, err := os.Open(filepath.Join(p.BinDir, "multinet-cni"))
	if err != nil {
		t.Fatal(err)
	}
	defer running.Close()
	write(t, p.Program, "v2")
	if _, err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	old := make([]byte, 2)
	if _, err := running.Read(old); err != nil || string(old) != "v1" {
		t.Errorf("the running one is %q, %v", old, err)
	}
	info, err := os.Stat(filepath.Join(p.BinDir, "multinet-cni"))
	if err != nil || info.Mode().Perm() != 0o755 || filesOf(t, p.BinDir)["multinet-cni"] != "v2" {
		t.Errorf("%v, %v, %v", info, err, filesOf(t, p.BinDir))
	}
}

func TestModeOfTheListStays(t *testing.T) {
	p := place(t, map[string]string{"10-a.conflist": list})
	path := filepath.Join(p.ConfDir, "10-a.conflist")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Ensure(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode is %v, %v", info.Mode(), err)
	}
}
