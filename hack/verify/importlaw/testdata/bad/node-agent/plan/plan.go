package p

import _ "os"
import _ "net/netip"
