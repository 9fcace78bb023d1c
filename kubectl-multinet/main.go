// Command kubectl-multinet is the plugin "kubectl multinet". It says what becomes of what was written for Multus.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/multinet-dev/multinet/kubectl-multinet/cluster"
	"github.com/multinet-dev/multinet/kubectl-multinet/lint"
	"github.com/multinet-dev/multinet/kubectl-multinet/manifest"
)

const usage = `usage: kubectl multinet COMMAND [FLAGS]

Reads NetworkAttachmentDefinitions, and pods and pod templates that select them, from files or from the cluster.

  lint     say for each what becomes of it with Multinet, and why, with line and column; the exit status is 1 unless
           everything is native
  convert  print the Networks that do the same as the NetworkAttachmentDefinitions which are native

`

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

type options struct {
	files      []string
	connection cluster.Connection
}

func (o *options) flags(stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet("kubectl multinet", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.Func("f", "`file` or folder of YAML or JSON, - for standard input; may be repeated; without it the cluster is read", func(name string) error {
		o.files = append(o.files, name)
		return nil
	})
	flags.StringVar(&o.connection.Namespace, "n", "", "`namespace` to read; with -f, that of objects which name none")
	flags.BoolVar(&o.connection.AllNamespaces, "A", false, "read all namespaces")
	flags.StringVar(&o.connection.Kubeconfig, "kubeconfig", "", "`path` of the kubeconfig")
	flags.StringVar(&o.connection.Context, "context", "", "`name` of the kubeconfig's context")
	return flags
}

// run returns the exit status: 0, 1 if lint found something that is not native, 2 if the command could not be done.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	flags := o.flags(stderr)
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		flags.Usage()
		return 2
	}
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "error: unexpected argument %q: files are given with -f\n", flags.Arg(0))
		return 2
	}
	status, err := o.do(ctx, args[0], stdin, stdout)
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
	}
	return status
}

func (o *options) do(ctx context.Context, command string, stdin io.Reader, stdout io.Writer) (status int, err error) {
	if command != "lint" && command != "convert" {
		return 2, fmt.Errorf("there is no command %q: lint and convert", command)
	}
	objects, err := o.read(ctx, stdin)
	if err != nil {
		return 2, err
	}
	judgements := lint.Judge(objects)
	if command == "convert" {
		if err := lint.WriteNetworks(stdout, judgements); err != nil {
			return 2, err
		}
		return 0, nil
	}
	lint.Write(stdout, judgements)
	if !lint.Clean(judgements) {
		return 1, nil
	}
	return 0, nil
}

func (o *options) read(ctx context.Context, stdin io.Reader) ([]manifest.Object, error) {
	if len(o.files) == 0 {
		return cluster.Read(ctx, o.connection)
	}
	namespace := o.connection.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return manifest.ReadFiles(o.files, stdin, namespace)
}
