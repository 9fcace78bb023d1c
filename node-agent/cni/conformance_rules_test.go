package cni_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plumb"
)

const noDelegates = "the plugin starts no other"

var rules = []rule{
	{"Section 1: configuration", "Keys that a plugin does not know may be there", unknownKeys, ""},
	{"Section 1: version considerations", "A configuration in any version that the plugin supports works", everyVersion, ""},

	{"Section 2: parameters", "CNI_COMMAND is one of the verbs; anything else is an error", func(t *testing.T, l *lab) {
		p := l.pod("verbs", "storage")
		for _, command := range []string{"", "UPDATE", "add"} {
			wantFailure(t, l.direct(p, command), 4, "CNI_COMMAND")
		}
	}, ""},
	{"Section 2: parameters", "CNI_CONTAINERID is not empty, begins with a letter or digit, and goes on with these, _, . and -", func(t *testing.T, l *lab) {
		p := l.pod("ids", "storage")
		for _, id := range []string{"", "_a", "-a", "a/b", "a b", "a:b"} {
			wantFailure(t, l.direct(p, "ADD", "CNI_CONTAINERID", id), 4, "CNI_CONTAINERID")
		}
	}, ""},
	{"Section 2: parameters", "A name in CNI_IFNAME that cannot be used is an error", func(t *testing.T, l *lab) {
		p := l.pod("names", "storage")
		for _, name := range []string{"a/b", "..", "sixteencharacter", "a b"} {
			wantFailure(t, l.direct(p, "ADD", "CNI_IFNAME", name), 4, "CNI_IFNAME")
		}
	}, ""},
	{"Section 2: parameters", "CNI_ARGS are pairs with semicolons between them", func(t *testing.T, l *lab) {
		wantFailure(t, l.direct(l.pod("args", "storage"), "ADD", "CNI_ARGS", "FOO;BAR=1"), 4, "CNI_ARGS")
	}, ""},
	{"Section 2: errors", "The exit status is 0 on success and another on failure", func(t *testing.T, l *lab) {
		p := l.pod("status", "storage")
		if good, bad := l.direct(p, "ADD"), l.direct(p, "ADD", "CNI_NETNS", ""); good.status != 0 || bad.status == 0 {
			t.Errorf("exit status %d and %d", good.status, bad.status)
		}
		wantSuccess(t, l.direct(p, "DEL"))
	}, ""},
	{"Section 2: errors", "A failure is told by an error structure", func(t *testing.T, l *lab) {
		wantFailure(t, l.direct(l.pod("structure", "storage"), "ADD", "CNI_NETNS", "/not-there"), 100, "network namespace")
	}, ""},

	{"Section 2: ADD", "Success gives out a result", func(t *testing.T, l *lab) {
		p := l.pod("result", "storage")
		o := l.direct(p, "ADD")
		if wantSuccess(t, o); !json.Valid(o.stdout) || len(o.stdout) == 0 {
			t.Errorf("it is %s", o.stdout)
		}
		if got := l.interfaces(p); !slices.Equal(got, []string{"net1"}) {
			t.Errorf("the pod has %v", got)
		}
	}, ""},
	{"Section 2: ADD", "prevResult is passed through or changed as is fit", passedThrough, ""},
	{"Section 2: ADD", "An interface of the requested name that exists already is an error", func(t *testing.T, l *lab) {
		p := l.pod("taken", "storage")
		kerneltest.Cable(t, p.ns, "net1", l.node, "taken")
		wantFailure(t, l.direct(p, "ADD"), 100, "net1")
	}, ""},
	{"Section 2: ADD", "CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME are needed", func(t *testing.T, l *lab) {
		needs(t, l, "add-needs", "ADD", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")
	}, ""},
	{"Section 2: ADD", "CNI_ARGS and CNI_PATH may be missing", func(t *testing.T, l *lab) {
		wantSuccess(t, l.direct(pod{"add-spares", kerneltest.Namespace(t, "pod")}, "ADD", "CNI_ARGS", ""))
	}, ""},

	{"Section 2: DEL", "What ADD has made is taken away", func(t *testing.T, l *lab) {
		p := l.pod("undone", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		wantSuccess(t, l.direct(p, "DEL"))
		l.waitEmpty(p)
	}, ""},
	{"Section 2: DEL", "Success even if resources are missing, as where the namespace is gone", func(t *testing.T, l *lab) {
		p := l.pod("vanished", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		link, _, err := plumb.FindLink(p.ns, "net1")
		l.must(err)
		l.must(plumb.RemoveLink(p.ns, link.Index))
		wantSuccess(t, l.direct(p, "DEL", "CNI_NETNS", "/not-there"))
	}, ""},
	{"Section 2: DEL", "Several calls for one container succeed, and one for a container that was never added", func(t *testing.T, l *lab) {
		p := l.pod("again", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		for range 3 {
			wantSuccess(t, l.direct(p, "DEL"))
		}
		wantSuccess(t, l.direct(pod{"never", kerneltest.Namespace(t, "pod")}, "DEL"))
	}, ""},
	{"Section 2: DEL", "CNI_COMMAND, CNI_CONTAINERID and CNI_IFNAME are needed", func(t *testing.T, l *lab) {
		needs(t, l, "del-needs", "DEL", "CNI_CONTAINERID", "CNI_IFNAME")
	}, ""},
	{"Section 2: DEL", "CNI_NETNS, CNI_ARGS and CNI_PATH may be missing", func(t *testing.T, l *lab) {
		p := l.pod("del-spares", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		wantSuccess(t, l.direct(p, "DEL", "CNI_NETNS", ""))
		l.waitEmpty(p)
		wantSuccess(t, l.direct(p, "DEL", "CNI_NETNS", "", "CNI_ARGS", ""))
	}, ""},

	{"Section 2: CHECK", "prevResult is consulted", func(t *testing.T, l *lab) {
		p := l.pod("no-previous", "storage")
		wantFailure(t, l.run(call{env: p.env("CHECK"), config: `{"cniVersion":"1.1.0","name":"primary"`}), 7, "prevResult")
	}, ""},
	{"Section 2: CHECK", "What a later plugin has changed is no error", func(t *testing.T, l *lab) {
		p := l.pod("changed", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		kerneltest.Cable(t, p.ns, "mesh0", l.node, "mesh")
		kerneltest.Address(t, p.ns, "mesh0", "10.77.0.1/24")
		kerneltest.Address(t, p.ns, "net1", "10.77.1.1/24")
		wantSuccess(t, l.direct(p, "CHECK"))
	}, ""},
	{"Section 2: CHECK", "An interface, address or route of the plugin that is missing is an error", checkFindsAll, ""},
	{"Section 2: CHECK", "So are other resources that are missing, such as a daemon that is needed", func(t *testing.T, l *lab) {
		p := l.pod("no-daemon", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		l.must(l.Stop())
		wantFailure(t, l.direct(p, "CHECK"), 11, "does not answer")
		l.must(l.Start(l.ctx))
	}, ""},
	{"Section 2: CHECK", "A container that is known to be unreachable is an error", func(t *testing.T, l *lab) {
		wantFailure(t, l.direct(l.pod("not-added", "storage"), "CHECK"), 101, "not attached")
	}, ""},
	{"Section 2: CHECK", "It works at once after ADD", func(t *testing.T, l *lab) {
		p := l.pod("at-once", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		wantSuccess(t, l.direct(p, "CHECK"))
	}, ""},
	{"Section 2: CHECK", "It is called on delegated plugins", nil, noDelegates},
	{"Section 2: CHECK", "CNI_COMMAND, CNI_CONTAINERID, CNI_NETNS and CNI_IFNAME are needed", func(t *testing.T, l *lab) {
		needs(t, l, "check-needs", "CHECK", "CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME")
	}, ""},

	{"Section 2: STATUS", "Success where ADD can be served", func(t *testing.T, l *lab) { l.must(l.callPlugin("STATUS", statusConfig)) }, ""},
	{"Section 2: STATUS", "Otherwise an error, as where a daemon that is needed is away: code 50", func(t *testing.T, l *lab) {
		l.must(l.Stop())
		wantCode(t, l.callPlugin("STATUS", statusConfig), 50)
		l.must(l.Start(l.ctx))
	}, ""},
	{"Section 2: STATUS", "Code 51 where containers of the network are limited as well", limited, ""},
	{"Section 2: STATUS", "Nothing depends on STATUS being called, and other verbs work after it has failed", func(t *testing.T, l *lab) {
		p := l.pod("regardless", "storage")
		l.Keeper().Disconnected()
		wantCode(t, l.callPlugin("STATUS", statusConfig), 50)
		wantSuccess(t, l.direct(p, "ADD"))
		wantSuccess(t, l.direct(p, "CHECK"))
		wantSuccess(t, l.direct(p, "DEL"))
		l.Keeper().Connected()
	}, ""},
	{"Section 2: STATUS", "It is called on delegated plugins", nil, noDelegates},

	{"Section 2: VERSION", "The version result goes to standard output; only CNI_COMMAND is needed", func(t *testing.T, l *lab) {
		wantVersions(t, l.run(call{env: map[string]string{"CNI_COMMAND": "VERSION"}, config: `{"cniVersion":"1.0.0"`}), "1.0.0")
	}, ""},

	{"Section 2: GC", "Everything stale is removed, as far as possible", func(t *testing.T, l *lab) {
		stale, valid := l.pod("stale", "storage", "backup"), l.pod("valid", "storage")
		wantSuccess(t, l.direct(stale, "ADD"))
		wantSuccess(t, l.direct(valid, "ADD"))
		wantSuccess(t, l.collect(valid))
		l.waitEmpty(stale)
		wantSuccess(t, l.direct(valid, "CHECK"))
	}, ""},
	{"Section 2: GC", "No error, be the namespace gone already", func(t *testing.T, l *lab) {
		p := pod{"namespace-gone", kerneltest.Namespace(t, "pod")}
		l.must(l.Prepare(t.Context(), p.uid, "storage"))
		wantSuccess(t, l.direct(p, "ADD"))
		l.must(kerneltest.RemoveNamespace(p.ns.Path()))
		wantSuccess(t, l.collect())
		if _, known := l.Keeper().Find(p.args().ContainerID); known {
			t.Error("the sandbox is still known")
		}
	}, ""},
	{"Section 2: GC", "Other networks' attachments are not in the list and stay", func(t *testing.T, l *lab) {
		p := l.pod("other-network", "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		wantSuccess(t, l.run(call{env: map[string]string{"CNI_COMMAND": "GC"}, config: `{"cniVersion":"1.1.0","name":"another","cni.dev/valid-attachments":[]`}))
		wantSuccess(t, l.direct(p, "CHECK"))
	}, ""},
	{"Section 2: GC", "No output on success", func(t *testing.T, l *lab) {
		if o := l.collect(); o.status != 0 || len(o.stdout) > 0 {
			t.Errorf("exit status %d, output %s", o.status, o.stdout)
		}
	}, ""},
	{"Section 2: GC", "It is forwarded to delegated plugins", nil, noDelegates},

	{"Section 4: delegation", "Delegated plugins are looked up in CNI_PATH and started with the same environment", nil, noDelegates},

	{"Section 5: ADD success", "cniVersion is that of the input, and prevResult is given out where nothing of it is changed", passedThrough, ""},
	{"Section 5: VERSION success", "cniVersion is the value of the input, supportedVersions is a list", func(t *testing.T, l *lab) {
		wantVersions(t, l.run(call{env: map[string]string{"CNI_COMMAND": "VERSION"}, config: `{"cniVersion":"0.4.0"`}), "0.4.0")
	}, ""},
	{"Section 5: error", "The keys are cniVersion, code, msg and details", func(t *testing.T, l *lab) {
		o := l.run(call{env: l.pod("keys", "storage").env("ADD"), config: `{"cniVersion":"1.0.0","name":"primary"`})
		var got map[string]any
		l.must(json.Unmarshal(o.stdout, &got))
		if got["cniVersion"] != "1.0.0" || got["code"] != 7.0 || got["msg"] == "" || got["details"] == "" || len(got) != 4 {
			t.Errorf("it is %s", o.stdout)
		}
	}, ""},
	{"Section 5: error", "Code 1: incompatible version", func(t *testing.T, l *lab) {
		wantFailure(t, l.run(call{env: l.pod("code-1", "storage").env("ADD"), config: `{"cniVersion":"0.2.0","name":"primary"`}), 1, "0.2.0")
	}, ""},
	{"Section 5: error", "Code 4: the message has the names of the variables", func(t *testing.T, l *lab) {
		wantFailure(t, l.direct(l.pod("code-4", "storage"), "ADD", "CNI_CONTAINERID", "", "CNI_IFNAME", ""), 4, "CNI_CONTAINERID, CNI_IFNAME")
	}, ""},
	{"Section 5: error", "Code 6: content that cannot be decoded", func(t *testing.T, l *lab) {
		wantFailure(t, l.run(call{env: l.pod("code-6", "storage").env("ADD"), config: `{"cniVersion":`}), 6, "JSON")
	}, ""},
	{"Section 5: error", "Code 7: invalid configuration", func(t *testing.T, l *lab) {
		wantFailure(t, l.run(call{env: l.pod("code-7", "storage").env("ADD"), config: `{"cniVersion":"1.1.0","name":"a/b","prevResult":{}`}), 7, "a/b")
	}, ""},
	{"Section 5: error", "Code 11: something transient, to be tried again", func(t *testing.T, l *lab) {
		p := l.pod("code-11", "storage")
		l.must(l.Stop())
		wantFailure(t, l.direct(p, "ADD"), 11, "does not answer")
		l.must(l.Start(l.ctx))
		wantSuccess(t, l.direct(p, "ADD"))
	}, ""},
	{"Section 5: error", "Codes of the plugin's own begin with 100", func(t *testing.T, l *lab) {
		wantFailure(t, l.direct(l.pod("code-100", "storage"), "ADD", "CNI_NETNS", "/not-there"), 100, "storage")
	}, ""},
	{"Section 5: error", "Standard output has nothing but the structure", func(t *testing.T, l *lab) {
		if o := l.direct(l.pod("pure", "storage"), "ADD", "CNI_NETNS", ""); !json.Valid(o.stdout) || strings.Count(string(o.stdout), "\n") != 1 {
			t.Errorf("it is %q", o.stdout)
		}
	}, ""},
}

const statusConfig = `{"cniVersion":"1.1.0","name":"primary"`

// collect has the sandboxes freed that are not valid.
func (l *lab) collect(valid ...pod) outcome {
	l.t.Helper()
	list := []types.GCAttachment{}
	for _, p := range valid {
		list = append(list, types.GCAttachment{ContainerID: p.args().ContainerID, IfName: "eth0"})
	}
	text, err := json.Marshal(list)
	l.must(err)
	return l.run(call{env: map[string]string{"CNI_COMMAND": "GC"}, config: statusConfig + `,"cni.dev/valid-attachments":` + string(text)})
}

func unknownKeys(t *testing.T, l *lab) {
	p := l.pod("unknown-keys", "storage")
	wantSuccess(t, l.run(call{env: p.env("ADD"), config: basicConfig + `,"later":{"a":[1]},"runtimeConfig":{"mac":"x"},"args":{"cni":{}}`}))
}

func everyVersion(t *testing.T, l *lab) {
	for _, version := range []string{"0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		p := l.pod("v"+strings.ReplaceAll(version, ".", ""), "storage")
		previous := `{"cniVersion":"` + version + `","ips":[{"version":"4","address":"10.244.0.9/16"}],"dns":{}}`
		config := `{"cniVersion":"` + version + `","name":"primary","prevResult":` + previous
		o := l.run(call{env: p.env("ADD"), config: config})
		if wantSuccess(t, o); strings.TrimSpace(string(o.stdout)) != previous {
			t.Errorf("version %s: the result is %s", version, o.stdout)
		}
		wantSuccess(t, l.run(call{env: p.env("DEL"), config: config}))
	}
}

func passedThrough(t *testing.T, l *lab) {
	p := l.pod(fmt.Sprintf("through-%d", len(t.Name())), "storage")
	o := l.direct(p, "ADD")
	if wantSuccess(t, o); strings.TrimSpace(string(o.stdout)) != prevResult {
		t.Errorf("the result is %s", o.stdout)
	}
}

// checkFindsAll spoils each thing until a CHECK comes before the agent has repaired it by itself, which it does every 15 s.
func checkFindsAll(t *testing.T, l *lab) {
	for what, spoil := range spoilers {
		p := l.pod("missing-"+strings.Fields(what)[0], "storage")
		wantSuccess(t, l.direct(p, "ADD"))
		var last error
		kerneltest.Eventually(t, "CHECK finds: "+what, func() bool {
			link, found, err := plumb.FindLink(p.ns, "net1")
			if err != nil || !found || spoil(l, p, link.Index) != nil {
				return false
			}
			last = l.direct(p, "CHECK").failure()
			return last != nil && strings.Contains(last.Error(), what)
		})
		wantCode(t, last, 101)
	}
}

// limited: a sandbox lacks its link and cannot get it back, and the plugin is not in the chain.
func limited(t *testing.T, l *lab) {
	p := l.pod("limited", "storage")
	wantSuccess(t, l.direct(p, "ADD"))
	link, _, err := plumb.FindLink(p.ns, "net1")
	l.must(err)
	l.must(plumb.RemoveLink(p.ns, link.Index))
	kerneltest.Cable(t, p.ns, "net1", l.node, "foreign")
	wantFailure(t, l.direct(p, "CHECK"), 101, "net1")
	kerneltest.Eventually(t, "the repair has failed", func() bool { _, lacking := l.Keeper().Health(); return lacking == 1 })
	l.Keeper().Disconnected()
	wantCode(t, l.callPlugin("STATUS", statusConfig), 51)
	l.Keeper().Connected()
	wantSuccess(t, l.direct(p, "DEL"))
}

func wantVersions(t *testing.T, o outcome, version string) {
	t.Helper()
	var got struct {
		CNIVersion        string   `json:"cniVersion"`
		SupportedVersions []string `json:"supportedVersions"`
	}
	if err := json.Unmarshal(o.stdout, &got); err != nil {
		t.Fatalf("%s: %v", o.stdout, err)
	}
	if o.status != 0 || got.CNIVersion != version || !slices.Contains(got.SupportedVersions, "1.1.0") {
		t.Errorf("exit status %d, %s", o.status, o.stdout)
	}
}
