// Command multinet-cni is the CNI plugin of a node without NRI, chained behind the plugins of the cluster's own network. It
// hands each call to the node agent and prints what that answers. It makes no link and keeps no state.
//
// A container runtime starts it for every pod of the node. So it is static, links no more than it needs, and passes a
// pod that selects no network also where the agent is away.
package main

import (
	"io"
	"os"
)

func main() { os.Exit(run(os.Getenv, os.Stdin, os.Stdout)) }

// run returns the exit status. What it prints is a result or an error of CNI.
func run(getenv func(string) string, stdin io.Reader, stdout io.Writer) int {
	r, failed := read(getenv, stdin)
	var result []byte
	if failed == nil {
		result, failed = serve(r)
	}
	if failed != nil {
		failed.print(stdout, r.config.CNIVersion)
		return 1
	}
	if _, err := stdout.Write(result); err != nil {
		return 1
	}
	return 0
}
