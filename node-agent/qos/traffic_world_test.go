package qos

import (
	"net/netip"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// ping has the pod send one datagram to the machine, which answers.
func (w *world) ping(p *testPod) {
	w.t.Helper()
	echo := kerneltest.Echo(w.t, w.machine, netip.MustParseAddr("10.20.0.1"))
	kerneltest.Eventually(w.t, "an answer from the machine", func() bool {
		took, err := kerneltest.RoundTrip(p.Namespace, echo, 200*time.Millisecond)
		return err == nil && took > 0
	})
}
