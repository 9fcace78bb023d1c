package jsonspan

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func members(text string) (map[string]string, error) {
	found := map[string]string{}
	return found, Object(text, func(name, value string) error {
		found[name] = value
		return nil
	})
}

func TestObject(t *testing.T) {
	got, err := members(` { "a" : 1 , "b\u0041":{"x":[ ]}, "c": "}" ,"a": null, "d":[1, {"a":2}] } `)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "null", "bA": `{"x":[ ]}`, "c": `"}"`, "d": `[1, {"a":2}]`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !Null(got["a"]) || Null(got["c"]) {
		t.Error("null is not told from others")
	}
	stop := errors.New("stop")
	if err := Object(`{"a":1,"b":`, func(string, string) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("the error of the callback became %v", err)
	}
}

func TestList(t *testing.T) {
	var got []string
	if err := List(` [ 1, "a" ,{} ] `, func(v string) error { got = append(got, v); return nil }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"1", `"a"`, "{}"}, got); diff != "" {
		t.Error(diff)
	}
	if err := List(`{}`, nil); !errors.Is(err, ErrMalformed) || err.Error() != "byte 0: not what begins with [" {
		t.Errorf("an object for a list is %v", err)
	}
}

// seeds are as they come, and at the edges of the grammar.
var seeds = []string{
	`{"cniVersion":"1.1.0","name":"primary","prevResult":{"ips":[{"address":"10.0.0.1/16","interface":0}]}}`,
	`{}`, `{"":0}`, `[]`, `""`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1}}`, `{"a":01}`, `{"a":-}`, `{"a":-0.0e+1}`, `{"a":1.}`, `{"a":1e}`, `{"a":tru}`,
	`{"a":true,"b":false,"c":nul}`, "{\"a\":\"\n\"}", `{"a":"\u00e9\ud83d\ude00\ud83d \/\b\f\n\r\t\\\""}`, `{"a":"\u12"}`, `{"a":"\x"}`, "{\"a\":\"\xff\xc3\"}", "{\"a\xff\":1}",
	`{"a":"\ud800\u0041"}`, "\ufeff{}", `{"a":1} x`, `{"a":[1,[2,{"b":[]}]]}`, `{"a":"`, `{"a`, "{\"a\":\"\u007f\x00\"}", `{"a":+1}`, `{"a":.5}`, `{"a":"\udc00\ud800"}`,
}

// TestDepth: both end at the same depth, before the stack does.
func TestDepth(t *testing.T) {
	for _, depth := range []int{maxDepth, maxDepth + 1} {
		text := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
		_, err := members(text)
		if json.Valid([]byte(text)) != (depth == maxDepth) || (err == nil) != (depth == maxDepth) {
			t.Errorf("depth %d: %v", depth, err)
		}
	}
}

// FuzzObject: encoding/json says the same of every text.
func FuzzObject(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := members(text)
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal([]byte(text), &want)
		if wantErr == nil && want == nil {
			return // null, which is no object here
		}
		if (err == nil) != (wantErr == nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Fatalf("%q: error %v, encoding/json has %v", text, err, wantErr)
		}
		if err != nil {
			return
		}
		same := map[string]string{}
		for name, value := range want {
			same[name] = string(value)
			sameText(t, string(value))
		}
		if diff := cmp.Diff(same, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	})
}

func sameText(t *testing.T, value string) {
	t.Helper()
	got, err := Text(value)
	var want *string
	if json.Unmarshal([]byte(value), &want) != nil || want == nil {
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%q is taken for the string %q: %v", value, got, err)
		}
		return
	}
	if err != nil || got != *want {
		t.Errorf("%q is %q, %v, and should be %q", value, got, err, *want)
	}
}

// FuzzAppendText: encoding/json reads what is written as it was.
func FuzzAppendText(f *testing.F) {
	f.Add("a\"\\\x00\x1f\u2028é😀\x7f\xff")
	f.Fuzz(func(t *testing.T, text string) {
		written := AppendText(nil, text)
		var got string
		if err := json.Unmarshal(written, &got); err != nil || got != strings.ToValidUTF8(text, "\ufffd") && got != string([]rune(text)) {
			t.Errorf("%q is written as %s and read as %q: %v", text, written, got, err)
		}
	})
}
