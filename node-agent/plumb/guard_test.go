package plumb

import (
	"net"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

func listen(t *testing.T, ns *kernel.Namespace, address string) (conn net.PacketConn) {
	t.Helper()
	kerneltest.Inside(t, ns, func() (err error) { conn, err = net.ListenPacket("udp", address); return err })
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
