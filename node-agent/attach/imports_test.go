package attach

import (
	"go/build"
	"strings"
	"testing"
)

// forbidden could start a process or reach the API server. Nothing of it is linked into what the attach path calls.
var forbidden = []string{"os/exec", "net/http", "k8s.io/client-go", "google.golang.org/grpc",
	"github.com/k8snetworkplumbingwg/sriovnet"} // which brings the first two

const module = "github.com/multinet-dev/multinet/"

// No process is started and no API call made in the attach path, because the code for it is not there: the packages that run
// in the hook import nothing that could, apart from the types of the API, which hold none of it that is called here.
func TestAttachPathCannotStartProcesses(t *testing.T) {
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		imported, err := build.Import(path, ".", 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range imported.Imports {
			for _, bad := range forbidden {
				if other == bad || strings.HasPrefix(other, bad+"/") {
					t.Errorf("%s imports %s", path, other)
				}
			}
			if strings.HasPrefix(other, module) || strings.HasPrefix(other, "github.com/vishvananda/") {
				visit(other)
			}
		}
	}
	visit(module + "node-agent/attach")
	for _, want := range []string{"node-agent/plumb", "node-agent/kernel"} {
		if !seen[module+want] {
			t.Errorf("%s was not looked at", want)
		}
	}
}
