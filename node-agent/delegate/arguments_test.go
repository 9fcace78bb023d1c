package delegate

import (
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/plan"
)

// notes is a plugin that keeps what it is told by each verb.
const notes = `
	here=$(dirname $CNI_PATH)
	name=$(basename $0)
	cat >$here/$name.$CNI_COMMAND
	if [ $CNI_COMMAND = ADD ]; then echo '{"cniVersion": "1.0.0"}'; fi`

// told are the named keys of what a plugin was told.
func (l *lab) told(plugin, verb string, keys ...string) map[string]any {
	l.t.Helper()
	text, err := os.ReadFile(l.path(plugin + "." + verb))
	l.must(err)
	var all map[string]any
	l.must(json.Unmarshal(text, &all))
	some := map[string]any{}
	for _, key := range keys {
		if value, found := all[key]; found {
			some[key] = value
		}
	}
	return some
}

// Each plugin is told of what it declares, and all are told the arguments, by each verb, and by the next agent as well.
func TestArgumentsReachPlugins(t *testing.T) {
	l := newLab(t, []string{"first", "second"}, map[string]string{"first": notes, "second": notes})
	a := l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "plugins": [
		{"type": "first", "capabilities": {"portMappings": true, "bandwidth": false}, "args": {"cni": {"kept": 1, "both": 1}, "other": 2}},
		{"type": "second", "capabilities": {"bandwidth": true, "infinibandGUID": true}}]}`)
	a.CNI.Capabilities = map[string]json.RawMessage{
		"portMappings": json.RawMessage(`[{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]`), "bandwidth": json.RawMessage(`{"ingressRate": 1000}`),
		"infinibandGUID": json.RawMessage(`"c2:11:22:33:44:55:66:77"`),
	}
	a.CNI.Args = map[string]json.RawMessage{"both": json.RawMessage(`{"deep": [1]}`), "new": json.RawMessage(`"x"`)}
	_, _, err := l.Add(t.Context(), l.sandbox, a)
	l.must(err)
	l.must(l.Check(t.Context(), l.sandbox, a))
	l.restart([]string{"first", "second"})
	l.must(l.Del(t.Context(), l.sandbox, a))
	added := map[string]any{"both": map[string]any{"deep": []any{1.0}}, "new": "x"}
	for plugin, want := range map[string]map[string]any{
		"first": {
			"runtimeConfig": map[string]any{"portMappings": []any{map[string]any{"hostPort": 8080.0, "containerPort": 80.0, "protocol": "tcp"}}},
			"args":          map[string]any{"cni": map[string]any{"kept": 1.0, "both": added["both"], "new": "x"}, "other": 2.0},
		},
		"second": {
			"runtimeConfig": map[string]any{"bandwidth": map[string]any{"ingressRate": 1000.0}, "infinibandGUID": "c2:11:22:33:44:55:66:77"},
			"args":          map[string]any{"cni": added},
		},
	} {
		for _, verb := range []string{"ADD", "CHECK", "DEL"} {
			if diff := cmp.Diff(want, l.told(plugin, verb, "runtimeConfig", "args")); diff != "" {
				t.Errorf("%s of %s (-want +got):\n%s", verb, plugin, diff)
			}
		}
	}
	l.nothingLeft()
}

func TestArgsThatCannotBeJoined(t *testing.T) {
	l := newLab(t, []string{"first"}, map[string]string{"first": notes})
	a := l.attachment(`{"cniVersion": "1.0.0", "name": "lan", "type": "first", "args": {"cni": [1]}}`)
	a.CNI.Args = map[string]json.RawMessage{"a": json.RawMessage("1")}
	_, _, err := l.Add(t.Context(), l.sandbox, a)
	l.fails(`the Network's spec.cni.config: plugin "first": args.cni: json: cannot unmarshal array`, err)
	l.nothingLeft()
}

// Addresses and MAC that a pod asks for it gets of the real plugins, or nothing.
func TestAddressAndMACOfPlugins(t *testing.T) {
	const config = `{"cniVersion": "1.0.0", "name": "lan", "type": "bridge", "bridge": "br0", "isGateway": true, "capabilities": {"ips": true, "mac": true},
		"ipam": {"type": "host-local", "subnet": "10.77.0.0/24", "dataDir": "%DATA%"}}`
	asked := func(l *lab, config string) plan.Attachment {
		a := l.attachment(config)
		a.CNI.IPs = []plan.AskedIP{{Addr: netip.MustParseAddr("10.77.0.99"), PrefixLen: -1}}
		a.CNI.MAC = plan.HardwareAddr{2, 0, 0, 0, 0, 0x77}
		a.CNI.Capabilities = map[string]json.RawMessage{"ips": json.RawMessage(`["10.77.0.99"]`), "mac": json.RawMessage(`"02:00:00:00:00:77"`)}
		return a
	}
	l := newLab(t, []string{"bridge", "host-local"}, nil)
	a := asked(l, config)
	made, _, err := l.Add(t.Context(), l.sandbox, a)
	l.must(err)
	if !slices.Equal(made.Addresses, []netip.Prefix{netip.MustParsePrefix("10.77.0.99/24")}) || made.MAC.String() != "02:00:00:00:00:77" || l.taken() != "10.77.0.99" {
		t.Errorf("%+v, taken %s", made, l.taken())
	}
	l.must(l.Del(t.Context(), l.sandbox, a))
	l.nothingLeft()
	for passedOver, want := range map[string]string{
		`"ips": true, `:            "the pod asks for 10.77.0.99, which the plugins did not give: they gave [10.77.0.2/24]",
		`, "mac": true`:            "the pod asks for MAC 02:00:00:00:00:77, which the plugins did not give: it has ",
		`"ips": true, "mac": true`: "the pod asks for 10.77.0.99, which the plugins did not give",
	} {
		t.Run(passedOver, func(t *testing.T) {
			l := newLab(t, []string{"bridge", "host-local"}, nil)
			_, _, err := l.Add(t.Context(), l.sandbox, asked(l, strings.Replace(config, passedOver, "", 1)))
			l.fails(want, err)
			l.nothingLeft()
		})
	}
}
