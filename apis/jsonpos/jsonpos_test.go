package jsonpos

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("{\n  \"ä\": [1, -2.5e3,\n null],\t\"b\":{\"c\":true} , \"d\":\"x\\ny\"}\n")
	if err != nil {
		t.Fatal(err)
	}
	want := Value{At: Position{0, 1, 1}, Kind: Object, Members: []Member{
		{Key: "ä", At: Position{4, 2, 3}, Value: Value{At: Position{10, 2, 8}, Kind: Array, Items: []Value{
			{At: Position{11, 2, 9}, Kind: Number, Text: "1"},
			{At: Position{14, 2, 12}, Kind: Number, Text: "-2.5e3"},
			{At: Position{23, 3, 2}, Kind: Null},
		}}},
		{Key: "b", At: Position{30, 3, 9}, Value: Value{At: Position{34, 3, 13}, Kind: Object, Members: []Member{
			{Key: "c", At: Position{35, 3, 14}, Value: Value{At: Position{39, 3, 18}, Kind: Bool, Text: "true"}},
		}}},
		{Key: "d", At: Position{47, 3, 26}, Value: Value{At: Position{51, 3, 30}, Kind: String, Text: "x\ny"}},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, found := got.Member("nothing"); found {
		t.Error("a member that is not there was found")
	}
	if b, found := got.Member("b"); !found || b.Kind != Object {
		t.Errorf("member b: %v, %v", b, found)
	}
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing":          {"", "line 1, column 1: unexpected end of JSON input"},
		"open":             {"{\n \"a\": [1", "line 2, column 9: unexpected end of JSON input"},
		"trailing comma":   {"{\"a\": 1,\n}", "line 2, column 1: invalid character '}' looking for beginning of object key string"},
		"missing colon":    {`{"a" 1}`, "line 1, column 6: invalid character '1' after object key"},
		"single quotes":    {`{'a': 1}`, `line 1, column 2: invalid character '\'' looking for beginning of object key string`},
		"two values":       {`{} {}`, "line 1, column 4: invalid character '{' after top-level value"},
		"comment":          {"{\n// x\n}", "line 2, column 1: invalid character '/' looking for beginning of object key string"},
		"line feed inside": {"{\"a\": \"x\ny\"}", "line 1, column 9: invalid character '\\n' in string literal"},
		"key twice":        {"{\"a\": 1,\n \"a\": 2}", `line 2, column 2: key "a" stands twice`},
		"key twice, deep":  {`[{"a": {"b": 1, "b": 1}}]`, `line 1, column 17: key "b" stands twice`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.text)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "{}", `[{"a":[1,{"b":null}]}]`, "{\"a\":1,\n\"a\":2}", `"\ud800"`, "[1,]", "\xff", "{\"\xff\":0}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse(text)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.At.Line < 1 || e.At.Column < 1 || e.At.Offset > len(text) || e.Problem == "" {
				t.Fatalf("%q: error %#v names no place", text, err)
			}
			if json.Valid([]byte(text)) && !strings.Contains(e.Problem, "stands twice") {
				t.Fatalf("%q is JSON, but: %v", text, err)
			}
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON, but read as %+v", text, v)
		}
		checkPlaces(t, text, v)
	})
}

// checkPlaces looks whether each value begins with what its kind begins with.
func checkPlaces(t *testing.T, text string, v Value) {
	t.Helper()
	first := map[Kind]string{Null: "n", Bool: "tf", Number: "-0123456789", String: `"`, Array: "[", Object: "{"}[v.Kind]
	if !strings.Contains(first, text[v.At.Offset:v.At.Offset+1]) || PositionOf(text, v.At.Offset) != v.At {
		t.Fatalf("%q: %s is said to be at %+v", text, v.Kind, v.At)
	}
	for _, i := range v.Items {
		checkPlaces(t, text, i)
	}
	for _, m := range v.Members {
		if text[m.At.Offset] != '"' {
			t.Fatalf("%q: key %q is said to be at %+v", text, m.Key, m.At)
		}
		checkPlaces(t, text, m.Value)
	}
}
