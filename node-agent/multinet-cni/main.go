// Command multinet-cni is the CNI plugin of a node without NRI, chained behind the plugins of the cluster's own network. It
// hands each call to the node agent and prints what that answers. It makes no link and keeps no state.
//
// A container runtime starts it for every pod of the node. So it is static, links no more than it needs, and passes a
// pod that selects no network also where the agent is away. What takes it longest is its start, page by page: that is why it does without
// packages that everybody else uses, such as os, fmt and strings, has few sizes of buffers, and a test holds it to the former.

// Go would start a goroutine that follows how many processors it may use.
//
//go:debug updatemaxprocs=0
package main

import (
	"io"
	"syscall"
)

func main() { syscall.Exit(run(getenv, descriptor(0), descriptor(1))) }

func getenv(key string) string {
	value, _ := syscall.Getenv(key)
	return value
}

// run returns the exit status. What it prints is a result or an error of CNI.
func run(getenv func(string) string, stdin io.Reader, stdout io.Writer) int {
	var r request
	failed := r.read(getenv, stdin)
	var result []byte
	if failed == nil {
		result, failed = r.serve()
	}
	if failed != nil {
		// Nothing can be done where the runtime does not listen; it sees the exit status.
		_, _ = stdout.Write(failed.encode(r.config.cniVersion))
		return 1
	}
	if _, err := stdout.Write(result); err != nil {
		return 1
	}
	return 0
}
