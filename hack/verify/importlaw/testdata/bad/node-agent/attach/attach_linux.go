package p

import _ "github.com/vishvananda/netns"
