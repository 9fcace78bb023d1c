package main

import (
	"errors"
	"strconv"

	"github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/jsonspan"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/unary"
)

// result is prevResult as it came, to the byte. The runtime reads the pod's own addresses from the result, so the interfaces
// of further networks do not belong there; and keys that a newer specification adds pass.
func (r *request) result() []byte {
	if r.previous.hasVersion {
		return append(append(unary.Buffer(), r.config.previous...), '\n')
	}
	text := versioned(r.config.cniVersion)
	rest := jsonspan.TrimLeft(r.config.previous[1:])
	if rest[0] != '}' {
		text = append(text, ',')
	}
	return append(append(text, rest...), '\n')
}

// versioned begins what the plugin prints: an object with its version.
func versioned(version string) []byte {
	return jsonspan.AppendText(append(unary.Buffer(), `{"cniVersion":`...), version)
}

// previous is what is read of prevResult.
type previous struct {
	hasVersion bool
	// ips are the addresses of an interface of the pod, without prefix length. The agent parses them.
	ips []string
}

// parse takes an address for that of the interface where it does not name another one.
func (p *previous) parse(text, iface string) error {
	var names []string
	var ips []address
	err := members(text, func(name, value string) (err error) {
		switch name {
		case "cniVersion":
			version, err := jsonspan.Text(value)
			p.hasVersion = version != ""
			return err
		case "interfaces":
			names, err = parseInterfaces(value)
		case "ips":
			ips, err = parseAddresses(value)
		}
		return err
	})
	for _, ip := range ips {
		if of := ip.of; of >= 0 && of < len(names) && names[of] != iface {
			continue
		}
		p.ips = append(p.ips, ip.text)
	}
	return err
}

func parseInterfaces(list string) (names []string, err error) {
	err = jsonspan.List(list, func(element string) error {
		name := ""
		err := members(element, func(key, value string) (err error) {
			if key == "name" {
				name, err = jsonspan.Text(value)
			}
			return err
		})
		names = append(names, name)
		return err
	})
	return names, err
}

// address of an interface, by its place in the list of them; -1 for none.
type address struct {
	text string
	of   int
}

func parseAddresses(list string) (ips []address, err error) {
	err = jsonspan.List(list, func(element string) error {
		ip := address{of: -1}
		err := members(element, func(key, value string) (err error) {
			switch key {
			case "address":
				ip.text, err = jsonspan.Text(value)
			case "interface":
				ip.of, err = strconv.Atoi(value)
			}
			return err
		})
		text, _, hasPrefix := cut(ip.text, '/')
		if err == nil && !hasPrefix {
			err = errors.New("address " + strconv.Quote(ip.text) + " has no prefix length")
		}
		ip.text = text
		ips = append(ips, ip)
		return err
	})
	return ips, err
}

// version answers VERSION.
func (r *request) version() []byte {
	text := append(versioned(r.config.cniVersion), `,"supportedVersions":[`...)
	for i, v := range agent.Versions {
		if i > 0 {
			text = append(text, ',')
		}
		text = jsonspan.AppendText(text, v)
	}
	return append(text, "]}\n"...)
}
