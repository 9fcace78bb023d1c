package manifest

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// value has every token of JSON that a style might break, and characters of more than one byte.
const value = `{"ä": [1, "it's", "a\"b\\", null], "x": {"y": "é"}}`

func TestPlacesInEveryStyle(t *testing.T) {
	for name, document := range map[string]string{
		"literal":                     "a: |\n  {\"ä\":\n    [1, \"it's\", \"a\\\"b\\\\\", null],\n\n  \"x\": {\"y\": \"é\"}}\nb: 1\n",
		"literal, header and comment": "a: |2- # JSON\n    {\"ä\": [1, \"it's\", \"a\\\"b\\\\\", null], \"x\": {\"y\": \"é\"}}\n",
		"folded":                      "# comment\na: >-\n  {\"ä\": [1, \"it's\",\n  \"a\\\"b\\\\\", null],\n  \"x\": {\"y\": \"é\"}}\n",
		"single quotes":               "b: 'x'\na: '{\"ä\": [1, \"it''s\",\n\n     \"a\\\"b\\\\\", null],\n  \"x\": {\"y\": \"é\"}}'\n",
		"double quotes":               "a: \"{\\\"\\xe4\\\": [1, \\\"it's\\\", \\\"a\\\\\\\"b\\\\\\\\\\\", null],\\n \\\n    \\\"x\\\": {\\\"y\\\":\\t\\\"\\u00e9\\\"}}\"\n",
		"a tag and an anchor":         "a: !!str &it '{\"ä\": [1, \"it''s\", \"a\\\"b\\\\\", null], \"x\": {\"y\": \"é\"}}'\n",
		"carriage returns":            "a: |\r\n  {\"ä\": [1, \"it's\",\r\n  \"a\\\"b\\\\\", null], \"x\": {\"y\": \"é\"}}\r\n",
		"the second document":         "z: 1\n---\na: |\n  {\"ä\": [1, \"it's\", \"a\\\"b\\\\\", null], \"x\": {\"y\": \"é\"}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			text := readA(t, document)
			if black(text.Value) != black(value) {
				t.Fatalf("the document holds %q", text.Value)
			}
			checkText(t, document, text)
			end := text.Place(len(text.Value))
			if last := at(document, Place{Line: end.Line, Column: end.Column - 1}); !strings.HasPrefix(last, "}") {
				t.Errorf("the end is said to be at %s, behind %q", end, last)
			}
		})
	}
}

// readA returns the value of a in the last document.
func readA(t *testing.T, source string) Text {
	t.Helper()
	decoder := yaml.NewDecoder(strings.NewReader(source))
	var found *yaml.Node
	for {
		var document yaml.Node
		if decoder.Decode(&document) != nil {
			break
		}
		if n := get(document.Content[0], "a"); n != nil {
			found = n
		}
	}
	if found == nil {
		t.Fatalf("%q has no a", source)
	}
	return inFile("file", source, found)
}

// checkText looks whether each character of the value stands where it is said to, as itself or escaped.
func checkText(t *testing.T, source string, text Text) {
	t.Helper()
	for offset, r := range text.Value {
		if blank(r) {
			continue
		}
		place := text.Place(offset)
		if got := at(source, place); !strings.HasPrefix(got, string(r)) && !strings.HasPrefix(got, `\`) {
			t.Fatalf("%q: character %q at %d of %q is said to be at %s, where %q is", source, r, offset, text.Value, place, got)
		}
	}
}

// at is what the source has from a place on.
func at(source string, p Place) string { return source[offsetOf(source, p.Line, p.Column):] }

func black(text string) string { return strings.Join(strings.Fields(text), "") }

func TestPlaceInField(t *testing.T) {
	text := inField("spec.config", "{\n \"a\"}")
	if got := text.Place(3).String(); got != "spec.config:2:2" {
		t.Error(got)
	}
	if got := text.At.String(); got != "spec.config:1:1" {
		t.Error(got)
	}
}

func FuzzPlaces(f *testing.F) {
	for _, seed := range []string{value, "", " ", "'", `"\`, "a\n\n b", "{\u00a0}", "|>", "\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		quoted, err := json.Marshal(value)
		if err != nil || !utf8.ValidString(value) {
			return
		}
		documents := []string{"b: 1\na: " + string(quoted) + "\n"}
		if written, err := yaml.Marshal(map[string]string{"a": value}); err == nil {
			documents = append(documents, string(written))
		}
		for _, source := range documents {
			var document yaml.Node
			if err := yaml.Unmarshal([]byte(source), &document); err != nil {
				continue
			}
			checkText(t, source, readA(t, source))
		}
	})
}
