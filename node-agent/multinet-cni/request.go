package main

import (
	"errors"
	"io"
	"strconv"

	"github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/jsonspan"
)

// latest version of the specification that the plugin speaks.
var latest = agent.Versions[len(agent.Versions)-1]

// maxConfig bounds what is read from the runtime: a list of 10,000 valid attachments has 1 MiB.
const maxConfig = 8 << 20

// verb is a value of CNI_COMMAND.
type verb struct {
	// since is the version of the specification that the verb came with.
	since string
	// attachment tells that the verb is about one container, netns that it needs the namespace, previous that it
	// needs what the plugins before this one have made.
	attachment, netns, previous bool
}

func verbOf(command string) (v verb, known bool) {
	switch command {
	case "ADD":
		return verb{since: "0.3.0", attachment: true, netns: true, previous: true}, true
	case "DEL":
		return verb{since: "0.3.0", attachment: true}, true
	case "CHECK":
		return verb{since: "0.4.0", attachment: true, netns: true, previous: true}, true
	case "GC", "STATUS":
		return verb{since: "1.1.0"}, true
	case "VERSION":
		return verb{}, true
	}
	return verb{}, false
}

// request is one call of the runtime, complete and valid.
type request struct {
	command string
	config  config
	sandbox sandbox
	// previous is there where the verb needs it.
	previous previous
}

// read takes the call from environment and standard input. What it returns beside a failure holds the version to answer in.
func read(getenv func(string) string, stdin io.Reader) (r request, failed *failure) {
	r.command = getenv("CNI_COMMAND")
	v, known := verbOf(r.command)
	if !known {
		return r, fail(agent.CodeEnvironment, "CNI_COMMAND is invalid", "CNI_COMMAND is "+strconv.Quote(r.command)+", none of ADD, DEL, CHECK, GC, STATUS and VERSION")
	}
	data, err := readAll(stdin, maxConfig)
	if err != nil {
		return r, fail(agent.CodeIO, "the network configuration cannot be read", "standard input: "+err.Error())
	}
	if len(data) > maxConfig {
		return r, fail(agent.CodeIO, "the network configuration is too long", "more than "+strconv.Itoa(maxConfig)+" bytes")
	}
	if r.command == "VERSION" {
		r.config.cniVersion = versionAsked(data)
		return r, nil
	}
	if r.config, err = parseConfig(data); err != nil {
		r.config.cniVersion = ""
		return r, fail(agent.CodeDecode, "the network configuration is no JSON of the expected form", err.Error())
	}
	if failed := r.config.validate(r.command, v); failed != nil {
		return r, failed
	}
	if v.attachment {
		if r.sandbox, failed = sandboxOf(getenv, v); failed != nil {
			return r, failed
		}
		r.sandbox.network = r.config.name
	}
	if v.previous {
		if r.previous, err = parsePrevious(r.config.previous, r.sandbox.iface); err != nil {
			return r, fail(agent.CodeDecode, "prevResult cannot be read", err.Error())
		}
	}
	return r, nil
}

// versionAsked is the runtime's version, or ours where it has named none: VERSION is how they find a common one.
func versionAsked(data []byte) (version string) {
	err := jsonspan.Object(data, func(name string, value []byte) (err error) {
		if name == "cniVersion" {
			version, err = jsonspan.Text(value)
		}
		return err
	})
	if err != nil || version == "" {
		return latest
	}
	return version
}

// sandboxOf names all variables that are not what they must be.
func sandboxOf(getenv func(string) string, v verb) (sandbox, *failure) {
	s := sandbox{id: getenv("CNI_CONTAINERID"), netns: getenv("CNI_NETNS"), iface: getenv("CNI_IFNAME")}
	var wrong []string
	if !validName(s.id) {
		wrong = append(wrong, "CNI_CONTAINERID")
	}
	if !validInterface(s.iface) {
		wrong = append(wrong, "CNI_IFNAME")
	}
	if _, _, broken := cut(s.netns, 0); broken || s.netns == "" && v.netns {
		wrong = append(wrong, "CNI_NETNS")
	}
	args, err := parseArgs(getenv("CNI_ARGS"))
	if err != nil {
		wrong = append(wrong, "CNI_ARGS")
	}
	s.podNamespace, s.podName, s.podUID = args["K8S_POD_NAMESPACE"], args["K8S_POD_NAME"], args["K8S_POD_UID"]
	if s.podUID != "" && !validName(s.podUID) {
		wrong = append(wrong, "K8S_POD_UID in CNI_ARGS")
	}
	if len(wrong) > 0 {
		return sandbox{}, fail(agent.CodeEnvironment, "variables are missing or invalid: "+listed(wrong),
			"CNI_CONTAINERID "+strconv.Quote(s.id)+", CNI_NETNS "+strconv.Quote(s.netns)+", CNI_IFNAME "+strconv.Quote(s.iface)+
				", CNI_ARGS "+strconv.Quote(getenv("CNI_ARGS")))
	}
	return s, nil
}

// parseArgs reads KEY=VALUE pairs with semicolons between them.
func parseArgs(text string) (map[string]string, error) {
	args := map[string]string{}
	for text != "" {
		var pair string
		if pair, text, _ = cut(text, ';'); pair == "" {
			continue
		}
		key, value, ok := cut(pair, '=')
		if !ok || key == "" {
			return nil, errors.New("not a pair")
		}
		args[key] = value
	}
	return args, nil
}

// validName is for container IDs and names of networks, which the specification restricts alike, and for UIDs. What passes
// can be the name of a file.
func validName(name string) bool {
	if name == "" || len(name) > 200 || !isAlphanumeric(name[0]) {
		return false
	}
	for i := range len(name) {
		if c := name[i]; !isAlphanumeric(c) && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// validInterface is what the kernel takes, and what can be a part of the name of a file.
func validInterface(name string) bool {
	for i := range len(name) {
		switch name[i] {
		case '/', ':', ' ', '\t', '\n', '\v', '\f', '\r', 0:
			return false
		}
	}
	return name != "" && len(name) <= 15 && name != "." && name != ".."
}
