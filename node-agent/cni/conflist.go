package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/multinet-dev/multinet/apis/agent"
)

// Stanza is the plugin's configuration in the list of plugins.
type Stanza struct {
	Type     string `json:"type"`
	Socket   string `json:"socket"`
	Selected string `json:"selectedDir"`
	Deleted  string `json:"deletedDir"`
}

// span is a plugin of a list, as a part of its text.
type span struct {
	start, end int64
	kind       string
}

// chain returns a configuration list with the plugin behind all others, and whether that is a change. All other bytes stay as they
// are: keys that nobody knows, their order, white space. Where others stand behind the plugin, it keeps its place.
func chain(text []byte, stanza Stanza) (out []byte, changed bool, err error) {
	if err := speaks(text); err != nil {
		return nil, false, err
	}
	plugins, err := pluginsOf(text)
	if err != nil {
		return nil, false, err
	}
	wanted, err := json.Marshal(stanza)
	if err != nil {
		return nil, false, err
	}
	ours := slices.IndexFunc(plugins, func(s span) bool { return s.kind == agent.PluginType })
	switch {
	case len(plugins) == 0, ours == 0:
		return nil, false, errors.New("it has no plugin for the default network")
	case ours > 0:
		at := plugins[ours]
		if sameJSON(text[at.start:at.end], wanted) {
			return text, false, nil
		}
		return slices.Concat(text[:at.start], wanted, text[at.end:]), true, nil
	}
	last := plugins[len(plugins)-1]
	return slices.Concat(text[:last.end], []byte(","), indentOf(text, last.start), wanted, text[last.end:]), true, nil
}

// unchain is the reverse.
func unchain(text []byte) (out []byte, changed bool, err error) {
	plugins, err := pluginsOf(text)
	if err != nil {
		return nil, false, err
	}
	for i, s := range slices.Backward(plugins) {
		switch {
		case s.kind != agent.PluginType:
			continue
		case i > 0:
			text = slices.Concat(text[:plugins[i-1].end], text[s.end:])
		case len(plugins) > 1:
			text = slices.Concat(text[:s.start], text[plugins[1].start:])
		default:
			text = slices.Concat(text[:s.start], text[s.end:])
		}
		changed = true
	}
	return text, changed, nil
}

// wrap makes a list of a configuration of one plugin, with the plugin of the agent behind that.
func wrap(text []byte, stanza Stanza) ([]byte, error) {
	var single struct {
		CNIVersion string          `json:"cniVersion"`
		Name       string          `json:"name"`
		Type       string          `json:"type"`
		Plugins    json.RawMessage `json:"plugins"`
	}
	if err := json.Unmarshal(text, &single); err != nil {
		return nil, err
	}
	if single.Type == "" || single.Name == "" || single.Plugins != nil {
		return nil, errors.New("it is no configuration of one plugin")
	}
	list, err := json.MarshalIndent(struct {
		CNIVersion string            `json:"cniVersion"`
		Name       string            `json:"name"`
		Plugins    []json.RawMessage `json:"plugins"`
	}{single.CNIVersion, single.Name, []json.RawMessage{text}}, "", "  ")
	if err != nil {
		return nil, err
	}
	list, _, err = chain(append(list, '\n'), stanza)
	return list, err
}

// speaks refuses a list in a version that the plugin does not know: a runtime would fail every pod of the node with it.
func speaks(text []byte) error {
	var list struct {
		CNIVersion  string   `json:"cniVersion"`
		CNIVersions []string `json:"cniVersions"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for _, v := range append(list.CNIVersions, list.CNIVersion) {
		if !slices.Contains(agent.Versions, v) {
			return fmt.Errorf("its cniVersion %q is none of %v", v, agent.Versions)
		}
	}
	return nil
}

// pluginsOf finds the elements of the key "plugins".
func pluginsOf(text []byte) (plugins []span, err error) {
	if !json.Valid(text) {
		return nil, errors.New("it is no JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	found := false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		if key != "plugins" {
			if err := decoder.Decode(new(json.RawMessage)); err != nil {
				return nil, err
			}
			continue
		}
		if found {
			return nil, errors.New("it has the key plugins twice")
		}
		found = true
		if plugins, err = elements(decoder); err != nil {
			return nil, err
		}
	}
	if !found {
		return nil, errors.New("it has no plugins")
	}
	return plugins, nil
}

func elements(decoder *json.Decoder) (plugins []span, err error) {
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, errors.New("its plugins are no list")
	}
	for decoder.More() {
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, err
		}
		var plugin struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(raw, &plugin); err != nil {
			return nil, fmt.Errorf("plugins[%d]: %w", len(plugins), err)
		}
		end := decoder.InputOffset()
		plugins = append(plugins, span{end - int64(len(raw)), end, plugin.Type})
	}
	if _, err := decoder.Token(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return plugins, nil
}

// indentOf is the line break and white space before an element that begins a line.
func indentOf(text []byte, start int64) []byte {
	i := start
	for i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') {
		i--
	}
	if i > 0 && text[i-1] == '\n' {
		return text[i-1 : start]
	}
	return nil
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
