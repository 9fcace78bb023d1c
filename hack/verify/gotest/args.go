package main

import "fmt"

// options are our own two flags and the arguments of go.
type options struct {
	name, summary string
	goArgs        []string
}

// parseArgs takes -name, -summary and -C away; everything else belongs to go test, whose flags we need not know.
func parseArgs(args []string) (options, error) {
	o := options{}
	var chdir, rest []string
	for len(args) > 0 {
		flag := args[0]
		switch flag {
		case "-name", "-summary", "-C":
			if len(args) == 1 {
				return o, fmt.Errorf("%s needs a value", flag)
			}
			switch value := args[1]; flag {
			case "-name":
				o.name = value
			case "-summary":
				o.summary = value
			// go wants -C before its subcommand.
			case "-C":
				chdir = []string{"-C", value}
			}
			args = args[2:]
		default:
			rest = append(rest, flag)
			args = args[1:]
		}
	}
	if o.name == "" || len(rest) == 0 {
		return o, fmt.Errorf("usage: gotest -name NAME [-summary FILE] [flags and packages of go test]")
	}
	o.goArgs = append(append(chdir, "test", "-json"), rest...)
	return o, nil
}
