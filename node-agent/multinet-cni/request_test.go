package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/apis/agent"
)

const validConfig = `{"cniVersion":"1.1.0","name":"primary","type":"multinet-cni","cni.dev/valid-attachments":[{"containerID":"a","ifname":"eth0"}],
	"prevResult":{"cniVersion":"1.1.0","interfaces":[{"name":"cni0"},{"name":"eth0","sandbox":"/netns"}],
	"ips":[{"address":"10.244.0.2/16","interface":1},{"address":"fd00::2/64"},{"address":"10.0.0.1/24","interface":0}],"unknown":{"kept":true}}}`

func environment(change ...string) map[string]string {
	env := map[string]string{
		"CNI_COMMAND": "ADD", "CNI_CONTAINERID": "box", "CNI_NETNS": "/netns", "CNI_IFNAME": "eth0",
		"CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=p;K8S_POD_UID=uid",
	}
	for i := 0; i+1 < len(change); i += 2 {
		env[change[i]] = change[i+1]
	}
	return env
}

func readWith(env map[string]string, stdin string) (r request, failed *failure) {
	failed = r.read(func(key string) string { return env[key] }, strings.NewReader(stdin))
	return r, failed
}

func TestRead(t *testing.T) {
	r, failed := readWith(environment(), validConfig)
	if failed != nil {
		t.Fatal(failed)
	}
	want := []string{"box", "/netns", "eth0", "primary", "ns", "p", "uid"}
	s := r.sandbox
	if diff := cmp.Diff(want, []string{s.id, s.netns, s.iface, s.network, s.podNamespace, s.podName, s.podUID}); diff != "" {
		t.Error(diff)
	}
	// That of the bridge is not the pod's.
	if diff := cmp.Diff([]string{"10.244.0.2", "fd00::2"}, r.previous.ips); diff != "" {
		t.Error(diff)
	}
	if r.config.socket != agent.Socket || r.config.deleted != agent.DeletedDir || r.config.selected != agent.SelectedDir {
		t.Errorf("defaults are %+v", r.config)
	}
}

func TestReadRefuses(t *testing.T) {
	with := func(old, replacement string) string { return strings.Replace(validConfig, old, replacement, 1) }
	for name, test := range map[string]struct {
		env    map[string]string
		stdin  string
		code   int
		naming string
	}{
		"no command":                {environment("CNI_COMMAND", ""), validConfig, 4, "CNI_COMMAND"},
		"unknown command":           {environment("CNI_COMMAND", "UPDATE"), validConfig, 4, "CNI_COMMAND"},
		"no container":              {environment("CNI_CONTAINERID", ""), validConfig, 4, "CNI_CONTAINERID"},
		"container is a path":       {environment("CNI_CONTAINERID", "a/../b"), validConfig, 4, "CNI_CONTAINERID"},
		"no namespace":              {environment("CNI_NETNS", ""), validConfig, 4, "CNI_NETNS"},
		"no interface":              {environment("CNI_IFNAME", ""), validConfig, 4, "CNI_IFNAME"},
		"interface is too long":     {environment("CNI_IFNAME", "abcdefghijklmnop"), validConfig, 4, "CNI_IFNAME"},
		"interface is a path":       {environment("CNI_IFNAME", "a/b"), validConfig, 4, "CNI_IFNAME"},
		"arguments are no pairs":    {environment("CNI_ARGS", "a"), validConfig, 4, "CNI_ARGS"},
		"UID is a path":             {environment("CNI_ARGS", "K8S_POD_UID=../x"), validConfig, 4, "K8S_POD_UID"},
		"no JSON":                   {environment(), "{", 6, ""},
		"another form":              {environment(), `{"name":1}`, 6, ""},
		"unknown version":           {environment(), with("1.1.0", "9.0.0"), 1, "9.0.0"},
		"no version":                {environment(), with(`"cniVersion":"1.1.0",`, ""), 1, ""},
		"older than lists":          {environment(), with("1.1.0", "0.2.0"), 1, "0.2.0"},
		"older than CHECK":          {environment("CNI_COMMAND", "CHECK"), with("1.1.0", "0.3.1"), 1, "CHECK came with version 0.4.0"},
		"older than GC":             {environment("CNI_COMMAND", "GC"), with("1.1.0", "1.0.0"), 1, "GC came with version 1.1.0"},
		"older than STATUS":         {environment("CNI_COMMAND", "STATUS"), with("1.1.0", "1.0.0"), 1, "STATUS came with version 1.1.0"},
		"no name":                   {environment(), with("primary", ""), 7, "name"},
		"name is a path":            {environment(), with("primary", "a/b"), 7, "a/b"},
		"not chained":               {environment(), with("prevResult", "previous"), 7, "prevResult"},
		"null result":               {environment(), `{"cniVersion":"1.1.0","name":"a","prevResult":null}`, 7, "prevResult"},
		"result is no object":       {environment(), `{"cniVersion":"1.1.0","name":"a","prevResult":[]}`, 6, "prevResult"},
		"address is none":           {environment(), with("10.244.0.2/16", "10.244.0.2"), 6, "prevResult"},
		"GC without attachments":    {environment("CNI_COMMAND", "GC"), with("valid-attachments", "attachments"), 7, "cni.dev/valid-attachments"},
		"GC with null attachments":  {environment("CNI_COMMAND", "GC"), `{"cniVersion":"1.1.0","name":"a","cni.dev/valid-attachments":null}`, 7, "cni.dev/valid-attachments"},
		"CHECK without what was":    {environment("CNI_COMMAND", "CHECK"), with("prevResult", "previous"), 7, "prevResult"},
		"CHECK without a namespace": {environment("CNI_COMMAND", "CHECK", "CNI_NETNS", ""), validConfig, 4, "CNI_NETNS"},
	} {
		t.Run(name, func(t *testing.T) {
			_, failed := readWith(test.env, test.stdin)
			if failed == nil || failed.code != test.code || !strings.Contains(failed.message+failed.details, test.naming) {
				t.Errorf("failure is %+v, want code %d with %q", failed, test.code, test.naming)
			}
		})
	}
	var r request
	failed := r.read(func(key string) string { return environment()[key] }, iotest.ErrReader(errors.New("no more")))
	if failed == nil || failed.code != 5 {
		t.Errorf("failure of a reader is %+v", failed)
	}
	failed = r.read(func(key string) string { return environment()[key] }, io.LimitReader(zeros{}, maxConfig+1))
	if failed == nil || failed.code != 5 {
		t.Errorf("failure of an endless reader is %+v", failed)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestReadNeedsNoMore(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"DEL without a namespace": environment("CNI_COMMAND", "DEL", "CNI_NETNS", ""),
		"DEL without arguments":   environment("CNI_COMMAND", "DEL", "CNI_ARGS", ""),
		"GC":                      {"CNI_COMMAND": "GC"},
		"STATUS":                  {"CNI_COMMAND": "STATUS"},
		"VERSION":                 {"CNI_COMMAND": "VERSION"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, failed := readWith(env, validConfig); failed != nil {
				t.Errorf("failure %+v", failed)
			}
		})
	}
}

func TestResultIsPrevResult(t *testing.T) {
	for name, test := range map[string]struct{ previous, want string }{
		"to the byte":       {`{"cniVersion":"1.0.0", "ips": [ ],"new":{"b":1,"a":2}}`, `{"cniVersion":"1.0.0", "ips": [ ],"new":{"b":1,"a":2}}`},
		"without a version": {`{"dns":{}}`, `{"cniVersion":"1.1.0","dns":{}}`},
		"empty":             {`{ }`, `{"cniVersion":"1.1.0"}`},
	} {
		t.Run(name, func(t *testing.T) {
			r, failed := readWith(environment(), `{"cniVersion":"1.1.0","name":"a","prevResult":`+test.previous+`}`)
			if failed != nil {
				t.Fatal(failed)
			}
			if got := string(r.result()); got != test.want+"\n" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	for stdin, want := range map[string]string{`{"cniVersion":"1.0.0"}`: "1.0.0", `{"cniVersion":"7.0.0"}`: "7.0.0", "": "1.1.0", "{": "1.1.0"} {
		var out bytes.Buffer
		env := map[string]string{"CNI_COMMAND": "VERSION"}
		if status := run(func(key string) string { return env[key] }, strings.NewReader(stdin), &out); status != 0 {
			t.Errorf("%q: exit status %d", stdin, status)
		}
		var got struct {
			CNIVersion        string
			SupportedVersions []string
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.CNIVersion != want || len(got.SupportedVersions) != 5 {
			t.Errorf("%q: %s, %v", stdin, out.String(), err)
		}
	}
}

// FuzzRead: whatever comes, there is a valid request or an error of CNI, and what is printed is JSON.
func FuzzRead(f *testing.F) {
	for _, command := range []string{"ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"} {
		f.Add(command, "box", "/netns", "eth0", "K8S_POD_UID=u;K8S_POD_NAME=n", []byte(validConfig))
	}
	f.Add("ADD", "..", "\x00", "a/b", ";=;", []byte(`{"prevResult":{"ips":[{"interface":-1}]}}`))
	f.Add("ADD", "a", "b", "c", "", []byte(`{"cniVersion":"1.1.0","name":"a","prevResult":{}}`))
	f.Fuzz(func(t *testing.T, command, id, netns, iface, args string, stdin []byte) {
		env := map[string]string{"CNI_COMMAND": command, "CNI_CONTAINERID": id, "CNI_NETNS": netns, "CNI_IFNAME": iface, "CNI_ARGS": args}
		var r request
		failed := r.read(func(key string) string { return env[key] }, bytes.NewReader(stdin))
		var out bytes.Buffer
		switch {
		case failed != nil:
			out.Write(failed.encode(r.config.cniVersion))
		case r.command == "VERSION":
			out.Write(r.version())
		case r.command == "ADD":
			out.Write(r.result())
		default:
			return
		}
		var printed struct {
			CNIVersion string `json:"cniVersion"`
		}
		if err := json.Unmarshal(out.Bytes(), &printed); err != nil || printed.CNIVersion == "" {
			t.Errorf("%q is printed: %v", out.String(), err)
		}
		if strings.ContainsAny(r.sandbox.id+r.sandbox.iface+r.sandbox.podUID, "/\x00") {
			t.Errorf("%v would be the name of another file", r.sandbox)
		}
	})
}
