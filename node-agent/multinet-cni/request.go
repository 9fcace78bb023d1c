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

// read takes the call from environment and standard input. After a failure the configuration has the version to answer in.
func (r *request) read(getenv func(string) string, stdin io.Reader) *failure {
	r.command = getenv("CNI_COMMAND")
	v, known := verbOf(r.command)
	if !known {
		return fail(agent.CodeEnvironment, "CNI_COMMAND is invalid", "CNI_COMMAND is "+strconv.Quote(r.command)+", none of ADD, DEL, CHECK, GC, STATUS and VERSION")
	}
	text, err := readAll(stdin, maxConfig)
	if err != nil {
		return fail(agent.CodeIO, "the network configuration cannot be read", "standard input: "+err.Error())
	}
	if len(text) > maxConfig {
		return fail(agent.CodeIO, "the network configuration is too long", "more than "+strconv.Itoa(maxConfig)+" bytes")
	}
	if r.command == "VERSION" {
		r.config.cniVersion = versionAsked(text)
		return nil
	}
	if err := r.config.parse(text); err != nil {
		r.config.cniVersion = ""
		return fail(agent.CodeDecode, "the network configuration is no JSON of the expected form", err.Error())
	}
	if failed := r.config.validate(r.command, v); failed != nil {
		return failed
	}
	if v.attachment {
		if failed := r.sandbox.read(getenv, v); failed != nil {
			return failed
		}
		r.sandbox.network = r.config.name
	}
	if v.previous {
		if err := r.previous.parse(r.config.previous, r.sandbox.iface); err != nil {
			return fail(agent.CodeDecode, "prevResult cannot be read", err.Error())
		}
	}
	return nil
}

// versionAsked is the runtime's version, or ours where it has named none: VERSION is how they find a common one.
func versionAsked(text string) (version string) {
	err := jsonspan.Object(text, func(name, value string) (err error) {
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

// read takes the sandbox from the environment. Its failure names all variables that are not what they must be.
func (s *sandbox) read(getenv func(string) string, v verb) *failure {
	s.id, s.netns, s.iface = getenv("CNI_CONTAINERID"), getenv("CNI_NETNS"), getenv("CNI_IFNAME")
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
	if err := s.setPod(getenv("CNI_ARGS")); err != nil {
		wrong = append(wrong, "CNI_ARGS")
	}
	if s.podUID != "" && !validName(s.podUID) {
		wrong = append(wrong, "K8S_POD_UID in CNI_ARGS")
	}
	if len(wrong) > 0 {
		return fail(agent.CodeEnvironment, "variables are missing or invalid: "+listed(wrong),
			"CNI_CONTAINERID "+strconv.Quote(s.id)+", CNI_NETNS "+strconv.Quote(s.netns)+", CNI_IFNAME "+strconv.Quote(s.iface)+
				", CNI_ARGS "+strconv.Quote(getenv("CNI_ARGS")))
	}
	return nil
}

// setPod takes the pod from arguments, which are KEY=VALUE pairs with semicolons between them.
func (s *sandbox) setPod(args string) error {
	for args != "" {
		var pair string
		if pair, args, _ = cut(args, ';'); pair == "" {
			continue
		}
		key, value, ok := cut(pair, '=')
		if !ok || key == "" {
			return errors.New("not a pair")
		}
		switch key {
		case "K8S_POD_NAMESPACE":
			s.podNamespace = value
		case "K8S_POD_NAME":
			s.podName = value
		case "K8S_POD_UID":
			s.podUID = value
		}
	}
	return nil
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
