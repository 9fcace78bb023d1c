package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// subcommand is one word after the program's name.
type subcommand struct {
	about string
	run   func(context.Context, *tool, []string) error
}

var subcommands = map[string]subcommand{
	"up":             {"make a cluster or repair one; prints the path of its kubeconfig", up},
	"down":           {"remove a cluster; with --all also the Docker daemon that this tool started", down},
	"load":           {"load image archives into all nodes of a cluster", load},
	"image":          {"pack static programs into an image archive", image},
	"testbox":        {"write the image with a shell and network tools to an archive", testbox},
	"node-image":     {"build the node image into the cache", nodeImage},
	"envtest-assets": {"build kube-apiserver, etcd and kubectl; prints the folder for KUBEBUILDER_ASSETS", envtestAssets},
	"vm":             {"run a command as root in a throw-away virtual machine", virtualMachine},
	"vm-node":        {"run a virtual machine with SR-IOV cards as a node of a cluster until interrupted; prints its name when it is Ready", vmNode},
	"vm-exec":        {"run a command as root in that virtual machine", vmExec},
	"preflight":      {"say whether this machine will do", preflightCommand},
	"clean-cache":    {"remove built programs and images", cleanCache},
}

// order is that of the list shown to users: by need, not by name.
var order = []string{"up", "down", "load", "image", "testbox", "node-image", "envtest-assets", "vm", "vm-node", "vm-exec", "preflight", "clean-cache"}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		usage()
		return flag.ErrHelp
	}
	c, ok := subcommands[args[0]]
	if !ok {
		usage()
		return fmt.Errorf("there is no subcommand %q", args[0])
	}
	t, err := newTool()
	if err != nil {
		return err
	}
	return c.run(ctx, t, args[1:])
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: cluster SUBCOMMAND [flags]   (--help after a subcommand lists its flags)")
	for _, name := range order {
		fmt.Fprintf(os.Stderr, "  %-15s %s\n", name, subcommands[name].about)
	}
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string { return strings.Join(*l, " ") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

// parse reads flags and refuses stray words, which are mostly a forgotten dash.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return errors.Join(flag.ErrHelp, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%s: unexpected argument %q", flags.Name(), flags.Arg(0))
	}
	return nil
}
