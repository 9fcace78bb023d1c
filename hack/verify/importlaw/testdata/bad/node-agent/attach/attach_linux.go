package p

import _ "github.com/vishvananda/netns"
import _ "github.com/google/nftables/expr"
