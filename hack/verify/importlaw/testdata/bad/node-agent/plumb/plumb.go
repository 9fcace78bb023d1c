package p

import _ "github.com/vishvananda/netlink"
import _ "github.com/multinet-dev/multinet/node-agent/plan"
