package main

import (
	"errors"
	"slices"
	"strconv"

	"github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/jsonspan"
)

// config is what the plugin reads of its configuration. Other keys are left to whom they concern.
type config struct {
	cniVersion string
	name       string
	// previous is prevResult as it came.
	previous string
	// valid is cni.dev/valid-attachments; hasValid tells an empty list from none.
	valid    []attachment
	hasValid bool

	socket, selected, deleted string
}

type attachment struct{ containerID, iface string }

// parse takes null for a key that is absent.
func (c *config) parse(text string) error {
	return members(text, func(name, value string) (err error) {
		switch name {
		case "cniVersion":
			c.cniVersion, err = jsonspan.Text(value)
		case "name":
			c.name, err = jsonspan.Text(value)
		case "socket":
			c.socket, err = jsonspan.Text(value)
		case "selectedDir":
			c.selected, err = jsonspan.Text(value)
		case "deletedDir":
			c.deleted, err = jsonspan.Text(value)
		case "prevResult":
			c.previous = value
		case "cni.dev/valid-attachments":
			c.hasValid = true
			c.valid, err = parseAttachments(value)
		}
		return err
	})
}

// members are those that are not null, and errors say of which.
func members(text string, each func(name, value string) error) error {
	return jsonspan.Object(text, func(name, value string) error {
		if jsonspan.Null(value) {
			return nil
		}
		if err := each(name, value); err != nil {
			return errors.New(name + ": " + err.Error())
		}
		return nil
	})
}

func parseAttachments(text string) (valid []attachment, err error) {
	err = jsonspan.List(text, func(element string) error {
		var a attachment
		err := members(element, func(name, value string) (err error) {
			switch name {
			case "containerID":
				a.containerID, err = jsonspan.Text(value)
			case "ifname":
				a.iface, err = jsonspan.Text(value)
			}
			return err
		})
		valid = append(valid, a)
		return err
	})
	return valid, err
}

func (c *config) validate(command string, v verb) *failure {
	asked := slices.Index(agent.Versions, c.cniVersion)
	switch {
	case asked < 0:
		return fail(agent.CodeIncompatibleVersion, "incompatible CNI versions",
			"the configuration has cniVersion "+strconv.Quote(c.cniVersion)+", the plugin speaks "+listed(agent.Versions))
	case asked < slices.Index(agent.Versions, v.since):
		return fail(agent.CodeIncompatibleVersion, "incompatible CNI versions",
			command+" came with version "+v.since+", the configuration has cniVersion "+c.cniVersion)
	case !validName(c.name):
		return fail(agent.CodeConfig, "the network has no valid name", "name is "+strconv.Quote(c.name))
	case command == "GC" && !c.hasValid:
		return fail(agent.CodeConfig, "cni.dev/valid-attachments is missing", "without it everything of network "+c.name+" would be freed")
	case v.previous && c.previous == "":
		return fail(agent.CodeConfig, "prevResult is missing", "multinet-cni must stand behind the plugin of the default network in the list of plugins")
	}
	if c.socket == "" {
		c.socket = agent.Socket
	}
	if c.selected == "" {
		c.selected = agent.SelectedDir
	}
	if c.deleted == "" {
		c.deleted = agent.DeletedDir
	}
	return nil
}
