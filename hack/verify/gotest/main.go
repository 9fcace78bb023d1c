// Command gotest runs go test and sums it up: what failed with its output, and every skipped test with its reason.
// With MULTINET_REQUIRE_ALL=1 a skipped test is a failure, since a feature that is known to be present was not tested.
//
//	gotest -name NAME [-summary FILE] [flags and packages of go test]
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	options, err := parseArgs(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 2
	}
	result, err := test(options.goArgs, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
	text := result.summary(options.name)
	fmt.Print(text)
	if err := appendTo(options.summary, text); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		return 1
	}
	if result.bad(os.Getenv("MULTINET_REQUIRE_ALL") == "1") {
		return 1
	}
	return 0
}

// test writes progress to w: one line for each package that passed, everything for one that did not.
func test(args []string, w io.Writer) (*result, error) {
	start := time.Now()
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("connecting to go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting go test: %w", err)
	}
	r := newResult()
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.add(line, w)
		}
		if err != nil {
			break
		}
	}
	// A build that fails has no event of a test; go's exit status tells.
	if err := cmd.Wait(); err != nil && len(r.failed) == 0 {
		r.failed = append(r.failed, "go test: "+err.Error())
	}
	r.took = time.Since(start)
	return r, nil
}

func appendTo(path, text string) error {
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the folder of the summary: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the summary: %w", err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return fmt.Errorf("writing the summary: %w", err)
	}
	return nil
}
