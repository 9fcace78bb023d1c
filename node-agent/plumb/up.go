package plumb

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// Indexes of the kernel's per-interface IPv4 settings (enum in uapi/linux/ip.h), as IFLA_INET_CONF (uapi/linux/if_link.h) takes them.
const (
	iflaInetConf        = 1
	ipv4ConfARPAnnounce = 18
	ipv4ConfARPIgnore   = 19
)

// strictARP makes an interface answer for its own addresses alone and ask with its own address. Linux otherwise
// answers on any interface for every address of the pod: two interfaces on one segment take each other's traffic.
var strictARP = []struct {
	setting int
	value   uint32
}{
	{ipv4ConfARPIgnore, 1},
	{ipv4ConfARPAnnounce, 2},
}

// SetUpStrict brings a pod's link up with strict ARP, in one request. It costs some 15 µs more than SetUp, so it is
// for pods that need it. Errors are those of SetUp.
func SetUpStrict(ns *kernel.Namespace, index int) error {
	request := setUp(index)
	families := nl.NewRtAttr(unix.IFLA_AF_SPEC, nil)
	conf := families.AddRtAttr(unix.AF_INET, nil).AddRtAttr(iflaInetConf, nil)
	for _, s := range strictARP {
		conf.AddRtAttr(s.setting, nl.Uint32Attr(s.value))
	}
	request.AddData(families)
	return ns.Execute(request)
}
