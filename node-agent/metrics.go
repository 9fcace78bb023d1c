package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/multinet-dev/multinet/node-agent/qos"
)

// readHeaderLimit ends a request that does not come to its point.
const readHeaderLimit = 5 * time.Second

// serveMetrics serves /metrics until ctx ends, if an address is given. An address that cannot be had is no reason to stop:
// pods need the agent more than anybody needs its metrics.
func (a *agent) serveMetrics(ctx context.Context) {
	if a.metricsAddress == "" {
		return
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		classMetrics{a.log.WithName("metrics"), a.qos.Counters})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Addr: a.metricsAddress, Handler: mux, ReadHeaderTimeout: readHeaderLimit}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		a.log.Error(err, "metrics are not served", "address", a.metricsAddress)
	}
}

// classMetrics reads the counters of classes when they are asked for.
type classMetrics struct {
	log  logr.Logger
	read func() ([]qos.Counter, error)
}

var (
	classLabels     = []string{"uplink", "direction", "class"}
	classBytes      = prometheus.NewDesc("multinet_qos_bytes_total", "Bytes that a class has sent on an uplink, or pods of it have received.", classLabels, nil)
	classPackets    = prometheus.NewDesc("multinet_qos_packets_total", "Packets of a class on an uplink.", classLabels, nil)
	classDrops      = prometheus.NewDesc("multinet_qos_drops_total", "Packets of a class that found its queue full.", classLabels, nil)
	classOverlimits = prometheus.NewDesc("multinet_qos_overlimits_total", "How often a class had to wait for its rate.", classLabels, nil)
	classBacklog    = prometheus.NewDesc("multinet_qos_backlog_bytes", "Bytes of a class that wait.", classLabels, nil)
)

// Describe implements prometheus.Collector.
func (classMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{classBytes, classPackets, classDrops, classOverlimits, classBacklog} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m classMetrics) Collect(to chan<- prometheus.Metric) {
	all, err := m.read()
	if err != nil {
		m.log.Error(err, "the counters of classes cannot be read")
		return
	}
	for _, c := range all {
		for desc, value := range map[*prometheus.Desc]uint64{classBytes: c.Bytes, classPackets: c.Packets, classDrops: c.Drops, classOverlimits: c.Overlimits} {
			to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), c.Link, c.Direction, c.Class)
		}
		to <- prometheus.MustNewConstMetric(classBacklog, prometheus.GaugeValue, float64(c.Backlog), c.Link, c.Direction, c.Class)
	}
}
