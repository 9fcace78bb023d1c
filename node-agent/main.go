// Command node-agent runs on every node: it plans, attaches and reports the networks of the node's pods.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/multinet-dev/multinet/apis/netstatus"
)

// A Go process lets its heap double before it collects. On a node, memory is worth more than the little CPU that
// collecting earlier takes: with these the agent stays below 40 MiB resident with 100 attachments.
const (
	gcPercent   = 40
	memoryLimit = 32 << 20
)

type options struct {
	nodeName       string
	config         string
	stateDir       string
	runDir         string
	procRoot       string
	sysRoot        string
	nriSocket      string
	cdiDir         string
	deviceInfoDir  string
	cniConfDir     string
	cniBinDir      string
	cniProgram     string
	takeOutCNI     bool
	kubeletDir     string
	kubeconfig     string
	defaultNetwork string
	bpfDir         string
	metricsAddress string
	qps            float64
	burst          int
	verbosity      int
}

func main() { os.Exit(run()) }

func run() int {
	o := parseFlags()
	log := newLog(o.verbosity).WithValues("node", o.nodeName)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if o.takeOutCNI {
		return report(log, o.cniPlace().TakeOut(true))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	a, err := newAgent(ctx, o, log)
	if err == nil {
		err = a.run(ctx)
	}
	return report(log, err)
}

// report returns the exit status.
func report(log logr.Logger, err error) int {
	if err != nil {
		log.Error(err, "the node agent ends")
		return 1
	}
	log.Info("the node agent ends")
	return 0
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.nodeName, "node-name", os.Getenv("NODE_NAME"), "name of this node in the API")
	flag.StringVar(&o.config, "config", "", "file that names further uplinks; none if empty")
	flag.StringVar(&o.stateDir, "state-dir", "/var/lib/multinet", "folder of the ledger, kept over a reboot")
	flag.StringVar(&o.runDir, "run-dir", "/run/multinet", "folder of what containers see of their networks, the same path as on the node")
	flag.StringVar(&o.procRoot, "proc-root", "/proc", "where the node's procfs is, writable")
	flag.StringVar(&o.sysRoot, "sys-root", "/sys", "where the node's sysfs is")
	flag.StringVar(&o.nriSocket, "nri-socket", "/var/run/nri/nri.sock", "socket of the container runtime")
	flag.StringVar(&o.cdiDir, "cdi-dir", "/var/run/cdi", "folder in which the container runtime looks for devices")
	flag.StringVar(&o.deviceInfoDir, "device-info-dir", "/var/run/k8s.cni.cncf.io/devinfo", "folder in which other programs of the node look for the devices of pods")
	flag.StringVar(&o.cniConfDir, "cni-conf-dir", "/etc/cni/net.d", "folder of the container runtime's CNI configuration; used on nodes without NRI, and where it is there, to take the plugin out")
	flag.StringVar(&o.cniBinDir, "cni-bin-dir", "/opt/cni/bin", "folder of the node's CNI plugins, for nodes without NRI and for Networks of type CNI")
	flag.StringVar(&o.cniProgram, "cni-program", "/usr/local/bin/multinet-cni", "the CNI plugin to install there")
	flag.BoolVar(&o.takeOutCNI, "take-out-cni", false, "take the CNI plugin out of the node's configuration, remove its program, and end")
	flag.StringVar(&o.kubeletDir, "kubelet-dir", "/var/lib/kubelet", "folder of the kubelet, with its plugins")
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "how to reach the API server; the pod's own account if empty")
	flag.StringVar(&o.defaultNetwork, "default-network", netstatus.DefaultNetwork, "name of the cluster's default network in the network-status annotation")
	flag.StringVar(&o.bpfDir, "bpf-dir", "/sys/fs/bpf/multinet", "folder in the node's BPF file system, for what enforces classes")
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", "", "address that serves metrics, such as :8080; none if empty")
	flag.Float64Var(&o.qps, "kube-api-qps", 100, "requests to the API server in a second; a pod takes three and one per further network")
	flag.IntVar(&o.burst, "kube-api-burst", 200, "requests to the API server at once")
	flag.IntVar(&o.verbosity, "v", 0, "verbosity of the log, 0 to 6")
	flag.Parse()
	return o
}

// newLog writes JSON lines to standard output. The libraries write through klog, which is sent there too.
func newLog(verbosity int) logr.Logger {
	log := logr.FromSlogHandler(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: slog.Level(-verbosity)}))
	klog.SetLogger(log)
	return log
}

func (o options) ledgerDir() string   { return filepath.Join(o.stateDir, "pods") }
func (o options) delegateDir() string { return filepath.Join(o.stateDir, "delegate") }
func (o options) filesDir() string    { return filepath.Join(o.runDir, "pods") }

func (o options) validate() error {
	if o.nodeName == "" {
		return fmt.Errorf("--node-name is missing: set it to the node's name in the API")
	}
	return nil
}
