package main

import (
	"go/build"
	"slices"
	"testing"
)

// slow take their time when a program starts that has them, or bring others that do.
var slow = []string{"time", "unicode", "reflect", "os", "fmt", "encoding/json", "net", "net/http", "log", "golang.org/x/net/http2/hpack", "google.golang.org/protobuf/proto", "google.golang.org/grpc"}

// TestPluginStartsFast: of the time of a call, most is the start of the process, and that grows with what is linked.
func TestPluginStartsFast(t *testing.T) {
	seen := map[string]bool{}
	var visit func(path, by string)
	visit = func(path, by string) {
		if seen[path] {
			return
		}
		seen[path] = true
		if slices.Contains(slow, path) {
			t.Errorf("%s imports %s", by, path)
			return
		}
		imported, err := build.Import(path, ".", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range imported.Imports {
			visit(other, path)
		}
	}
	const plugin = "github.com/multinet-dev/multinet/node-agent/multinet-cni"
	visit(plugin, "nobody")
	for _, want := range []string{plugin + "/unary", plugin + "/jsonspan", "syscall"} {
		if !seen[want] {
			t.Errorf("%s was not looked at", want)
		}
	}
}
