package runcwrap

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withoutSysResource is the bounding set of a machine that lacks CAP_SYS_RESOURCE (bit 24).
const withoutSysResource = 0x1fffeffffff

func TestFilterSpec(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"missing capability is removed from every set, the rest stays": {
			in:   `{"ociVersion":"1.0.2","process":{"args":["/sbin/init"],"capabilities":{"bounding":["CAP_CHOWN","CAP_SYS_RESOURCE"],"effective":["CAP_SYS_RESOURCE","CAP_NET_ADMIN"]}},"unknown":{"a":1}}`,
			want: `{"ociVersion":"1.0.2","process":{"args":["/sbin/init"],"capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_NET_ADMIN"]}},"unknown":{"a":1}}`,
		},
		"a capability that is newer than the list is left to runc": {
			in:   `{"process":{"capabilities":{"bounding":["CAP_OF_TOMORROW"]}}}`,
			want: `{"process":{"capabilities":{"bounding":["CAP_OF_TOMORROW"]}}}`,
		},
		"no capabilities": {in: `{"process":{"args":["a"]}}`, want: `{"process":{"args":["a"]}}`},
		"no process":      {in: `{"root":{}}`, want: `{"root":{}}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := FilterSpec([]byte(test.in), Allowed(withoutSysResource))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, string(got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestFilterRefusesWhatIsNotJSON(t *testing.T) {
	if _, err := FilterSpec([]byte("{"), Allowed(0)); err == nil || !strings.Contains(err.Error(), "OCI spec") {
		t.Errorf("got %v", err)
	}
}

func TestDocuments(t *testing.T) {
	tests := map[string]struct {
		args string
		want []string
	}{
		"create as containerd calls it": {
			"--root /run/r --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid id", []string{"/b/config.json"},
		},
		"run with the equals form":     {"run --bundle=/c id", []string{"/c/config.json"}},
		"create in the current folder": {"create id", []string{"config.json"}},
		"exec":                         {"--root /r exec --process /tmp/p.json --detach id", []string{"/tmp/p.json"}},
		"state touches nothing":        {"--root /r state id", nil},
		"delete touches nothing":       {"delete --force id", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for path := range documents(strings.Fields(test.args)) {
				got = append(got, path)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestBoundingSet(t *testing.T) {
	got, err := boundingSet([]byte("Name:\tx\nCapBnd:\t000001fffeffffff\nCapAmb:\t0\n"))
	if err != nil || got != withoutSysResource {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := boundingSet([]byte("Name:\tx\n")); err == nil {
		t.Error("a status without CapBnd must be an error")
	}
}

func FuzzFilterSpec(f *testing.F) {
	f.Add([]byte(`{"process":{"capabilities":{"bounding":["CAP_CHOWN"]}}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		once, err := FilterSpec(document, Allowed(withoutSysResource))
		if err != nil {
			return
		}
		twice, err := FilterSpec(once, Allowed(withoutSysResource))
		if err != nil || string(once) != string(twice) {
			t.Errorf("filtering twice: %v\n%s\n%s", err, once, twice)
		}
	})
}
