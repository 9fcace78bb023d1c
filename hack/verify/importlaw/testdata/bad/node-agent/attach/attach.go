package p

import _ "github.com/vishvananda/netlink/nl"
import _ "github.com/vishvananda/netlinkother"
