package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/multinet-dev/multinet/node-agent/qos"
)

func TestClassMetrics(t *testing.T) {
	m := classMetrics{logr.Discard(), func() ([]qos.Counter, error) {
		return []qos.Counter{{Link: "eth1", Direction: "egress", Class: "gold", Bytes: 1500, Packets: 2, Drops: 3, Overlimits: 4, Backlog: 5}}, nil
	}}
	want := `
# HELP multinet_qos_backlog_bytes Bytes of a class that wait.
# TYPE multinet_qos_backlog_bytes gauge
multinet_qos_backlog_bytes{class="gold",direction="egress",uplink="eth1"} 5
# HELP multinet_qos_bytes_total Bytes that a class has sent on an uplink, or pods of it have received.
# TYPE multinet_qos_bytes_total counter
multinet_qos_bytes_total{class="gold",direction="egress",uplink="eth1"} 1500
# HELP multinet_qos_drops_total Packets of a class that found its queue full.
# TYPE multinet_qos_drops_total counter
multinet_qos_drops_total{class="gold",direction="egress",uplink="eth1"} 3
# HELP multinet_qos_overlimits_total How often a class had to wait for its rate.
# TYPE multinet_qos_overlimits_total counter
multinet_qos_overlimits_total{class="gold",direction="egress",uplink="eth1"} 4
# HELP multinet_qos_packets_total Packets of a class on an uplink.
# TYPE multinet_qos_packets_total counter
multinet_qos_packets_total{class="gold",direction="egress",uplink="eth1"} 2
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	m.read = func() ([]qos.Counter, error) { return nil, errors.New("gone") }
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%v, %v, want none", families, err)
	}
}
