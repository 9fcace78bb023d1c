package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const events = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:7: skipped: needs root: links\n"}
{"Action":"skip","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"pass","Package":"p","Elapsed":0.5}
{"Action":"output","Package":"q","Test":"TestC","Output":"    c_test.go:9: want 1\n"}
{"Action":"fail","Package":"q","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"q","Elapsed":0.1}
{"Action":"output","Package":"r","Output":"panic: boom\n"}
{"Action":"fail","Package":"r","Elapsed":0.1}
{"Action":"skip","Package":"no/tests","Elapsed":0}
{"Action":"pass","Package":"s","Test":"TestD","Elapsed":20}
{"Action":"pass","Package":"s","Test":"TestE/part","Elapsed":100.4}
{"Action":"pass","Package":"s","Test":"TestE","Elapsed":101.4}
not JSON
`

func TestSummary(t *testing.T) {
	r, shown := newResult(), &strings.Builder{}
	for line := range strings.Lines(events) {
		r.add([]byte(line), shown)
	}
	r.took = 3 * time.Second
	want := `all: 4 passed, 2 failed, 1 skipped in 3s
  FAILED  q TestC
  FAILED  r
  skipped p TestB: skipped: needs root: links
  took    s TestE: 101s
  took    s TestD: 20s
`
	if diff := cmp.Diff(want, r.summary("all")); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff("ok   p  0.5s\n    c_test.go:9: want 1\npanic: boom\nnot JSON\n", shown.String()); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

func TestBad(t *testing.T) {
	skipping := &result{skipped: []string{"x"}}
	if skipping.bad(false) || !skipping.bad(true) {
		t.Error("a skipped test must count exactly where everything is required")
	}
	if !(&result{failed: []string{"x"}}).bad(false) {
		t.Error("a failed test must count")
	}
}

func TestParseArgs(t *testing.T) {
	got, err := parseArgs([]string{"-summary", "f", "-name", "n", "-C", "d", "-tags", "e2e", "./..."})
	if err != nil {
		t.Fatal(err)
	}
	want := options{name: "n", summary: "f", goArgs: []string{"-C", "d", "test", "-json", "-tags", "e2e", "./..."}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range [][]string{nil, {"-name"}, {"-name", "n"}, {"./..."}} {
		if _, err := parseArgs(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
