package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
	Elapsed    float64
}

// The summary names the tests that take longest, of those that take a while.
const (
	slowSeconds = 20
	mostSlow    = 10
)

// timed is how long a test took, in seconds.
type timed struct {
	name    string
	seconds float64
}

// result adds up the events of one go test.
type result struct {
	// output of each test until its outcome is known; the package's own has an empty test.
	output map[[2]string]*strings.Builder
	passed int
	// failed and skipped tests as package and name, skipped ones with their reason.
	failed, skipped []string
	// slow are tests that are no part of others.
	slow []timed
	took time.Duration
}

func newResult() *result { return &result{output: map[[2]string]*strings.Builder{}} }

// add takes one line of go test -json and writes what a person wants to see of it.
func (r *result) add(line []byte, w io.Writer) {
	var e event
	if json.Unmarshal(line, &e) != nil {
		// go writes some errors of its own as plain text.
		_, _ = w.Write(line)
		return
	}
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "output":
		// "=== RUN" and its like tell nothing that the outcome does not.
		if strings.HasPrefix(e.Output, "=== ") {
			return
		}
		if r.output[key] == nil {
			r.output[key] = &strings.Builder{}
		}
		r.output[key].WriteString(e.Output)
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "pass", "fail", "skip":
		r.finish(e, w)
	}
}

func (r *result) finish(e event, w io.Writer) {
	key := [2]string{e.Package, e.Test}
	output := ""
	if b := r.output[key]; b != nil {
		output = b.String()
	}
	delete(r.output, key)
	if e.Test != "" && !strings.Contains(e.Test, "/") && e.Elapsed >= slowSeconds {
		r.slow = append(r.slow, timed{e.Package + " " + e.Test, e.Elapsed})
	}
	switch {
	case e.Action == "fail":
		fmt.Fprint(w, output)
		// A package fails because of its tests, or by itself: a panic, a timeout, a build.
		if e.Test != "" || !r.failedIn(e.Package) {
			r.failed = append(r.failed, strings.TrimSpace(e.Package+" "+e.Test))
		}
	case e.Test == "" && e.Action == "pass":
		fmt.Fprintf(w, "ok   %s  %.1fs\n", e.Package, e.Elapsed)
	// Of a package it only says that there are no test files.
	case e.Action == "skip" && e.Test != "":
		r.skipped = append(r.skipped, e.Package+" "+e.Test+": "+reason(output))
	case e.Action == "pass":
		r.passed++
	}
}

func (r *result) failedIn(pkg string) bool {
	for _, f := range r.failed {
		if strings.HasPrefix(f, pkg+" ") {
			return true
		}
	}
	return false
}

// reason finds the text of t.Skip, which stands on a line "    file_test.go:12: text".
func reason(output string) string {
	for line := range strings.Lines(output) {
		if _, text, found := strings.Cut(line, "_test.go:"); found && strings.HasPrefix(line, " ") {
			if _, why, found := strings.Cut(text, ": "); found {
				return strings.TrimSpace(why)
			}
		}
	}
	return "no reason given"
}

func (r *result) summary(name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d passed, %d failed, %d skipped in %s\n", name, r.passed, len(r.failed), len(r.skipped), r.took.Round(time.Second))
	for _, f := range r.failed {
		fmt.Fprintf(&b, "  FAILED  %s\n", f)
	}
	for _, s := range r.skipped {
		fmt.Fprintf(&b, "  skipped %s\n", s)
	}
	slices.SortFunc(r.slow, func(a, b timed) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, t := range r.slow[:min(len(r.slow), mostSlow)] {
		fmt.Fprintf(&b, "  took    %s: %.0fs\n", t.name, t.seconds)
	}
	return b.String()
}

// bad tells whether the run proves too little.
func (r *result) bad(requireAll bool) bool {
	return len(r.failed) > 0 || requireAll && len(r.skipped) > 0
}
