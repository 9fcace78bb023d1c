package main

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/multinet-dev/multinet/apis/agent"
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

var verbs = map[string]verb{
	"ADD":     {since: "0.3.0", attachment: true, netns: true, previous: true},
	"DEL":     {since: "0.3.0", attachment: true},
	"CHECK":   {since: "0.4.0", attachment: true, netns: true, previous: true},
	"GC":      {since: "1.1.0"},
	"STATUS":  {since: "1.1.0"},
	"VERSION": {},
}

// request is one call of the runtime, complete and valid.
type request struct {
	command string
	config  config
	sandbox sandbox
	// ips are addresses on the default network.
	ips []string
}

// config is what the plugin reads of its configuration. Other keys are left to whom they concern.
type config struct {
	CNIVersion string          `json:"cniVersion"`
	Name       string          `json:"name"`
	Previous   json.RawMessage `json:"prevResult"`
	Valid      *[]attachment   `json:"cni.dev/valid-attachments"`

	Socket   string `json:"socket"`
	Selected string `json:"selectedDir"`
	Deleted  string `json:"deletedDir"`
}

type attachment struct {
	ContainerID string `json:"containerID"`
	Interface   string `json:"ifname"`
}

// read takes the call from environment and standard input. What it returns beside a failure holds the version to answer in.
func read(getenv func(string) string, stdin io.Reader) (r request, failed *failure) {
	r.command = getenv("CNI_COMMAND")
	v, known := verbs[r.command]
	if !known {
		return r, fail(agent.CodeEnvironment, "CNI_COMMAND is invalid", "CNI_COMMAND is %q, none of ADD, DEL, CHECK, GC, STATUS and VERSION", r.command)
	}
	data, err := io.ReadAll(io.LimitReader(stdin, maxConfig+1))
	if err != nil {
		return r, fail(agent.CodeIO, "the network configuration cannot be read", "standard input: %v", err)
	}
	if len(data) > maxConfig {
		return r, fail(agent.CodeIO, "the network configuration is too long", "more than %d bytes", maxConfig)
	}
	if r.command == "VERSION" {
		r.config.CNIVersion = versionAsked(data)
		return r, nil
	}
	if err := json.Unmarshal(data, &r.config); err != nil {
		r.config.CNIVersion = ""
		return r, fail(agent.CodeDecode, "the network configuration is no JSON of the expected form", "%v", err)
	}
	if failed := r.config.validate(r.command, v); failed != nil {
		return r, failed
	}
	if v.attachment {
		if r.sandbox, failed = sandboxOf(getenv, v); failed != nil {
			return r, failed
		}
		r.sandbox.network = r.config.Name
	}
	if v.previous {
		if r.ips, err = ipsOf(r.config.Previous, r.sandbox.iface); err != nil {
			return r, fail(agent.CodeDecode, "prevResult cannot be read", "%v", err)
		}
	}
	return r, nil
}

// versionAsked is the runtime's version, or ours where it has named none: VERSION is how they find a common one.
func versionAsked(data []byte) string {
	var asked struct {
		CNIVersion string `json:"cniVersion"`
	}
	if json.Unmarshal(data, &asked) != nil || asked.CNIVersion == "" {
		return latest
	}
	return asked.CNIVersion
}

func (c *config) validate(command string, v verb) *failure {
	asked := slices.Index(agent.Versions, c.CNIVersion)
	switch {
	case asked < 0:
		return fail(agent.CodeIncompatibleVersion, "incompatible CNI versions",
			"the configuration has cniVersion %q, the plugin speaks %s", c.CNIVersion, strings.Join(agent.Versions, ", "))
	case asked < slices.Index(agent.Versions, v.since):
		return fail(agent.CodeIncompatibleVersion, "incompatible CNI versions", "%s came with version %s, the configuration has cniVersion %s",
			command, v.since, c.CNIVersion)
	case !validName(c.Name):
		return fail(agent.CodeConfig, "the network has no valid name", "name is %q", c.Name)
	case command == "GC" && c.Valid == nil:
		return fail(agent.CodeConfig, "cni.dev/valid-attachments is missing", "without it everything of network %s would be freed", c.Name)
	case v.previous && (len(c.Previous) == 0 || string(c.Previous) == "null"):
		return fail(agent.CodeConfig, "prevResult is missing", "multinet-cni must stand behind the plugin of the default network in the list of plugins")
	}
	if c.Socket == "" {
		c.Socket = agent.Socket
	}
	if c.Selected == "" {
		c.Selected = agent.SelectedDir
	}
	if c.Deleted == "" {
		c.Deleted = agent.DeletedDir
	}
	return nil
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
	if s.netns == "" && v.netns || strings.ContainsRune(s.netns, 0) {
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
		return sandbox{}, fail(agent.CodeEnvironment, "variables are missing or invalid: "+strings.Join(wrong, ", "),
			"CNI_CONTAINERID %q, CNI_NETNS %q, CNI_IFNAME %q, CNI_ARGS %q", s.id, s.netns, s.iface, getenv("CNI_ARGS"))
	}
	return s, nil
}

// parseArgs reads KEY=VALUE pairs with semicolons between them.
func parseArgs(text string) (map[string]string, error) {
	args := map[string]string{}
	for pair := range strings.SplitSeq(text, ";") {
		if pair == "" {
			continue
		}
		key, value, ok := strings.Cut(pair, "=")
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
	return name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/: \t\n\v\f\r\x00")
}
