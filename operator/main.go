package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/multinet-dev/multinet/operator/controllers"
)

// leaseName is the Lease of the leader election.
const leaseName = "multinet-operator"

type options struct {
	leaderElect   bool
	namespace     string
	leaseDuration time.Duration
	renewDeadline time.Duration
	retryPeriod   time.Duration
	metricsAddr   string
	probeAddr     string
	qps           float64
	burst         int
}

func main() { os.Exit(run()) }

// run returns the exit code: 0 when asked to stop, 1 otherwise. Losing the lease is 1, so that the process
// starts again with empty books.
func run() int {
	var o options
	logConfig := textlogger.NewConfig()
	o.addFlags(flag.CommandLine)
	logConfig.AddFlags(flag.CommandLine)
	flag.Parse()
	log := textlogger.NewLogger(logConfig)
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	if err := o.start(ctrl.SetupSignalHandler(), log); err != nil {
		log.Error(err, "operator ended")
		return 1
	}
	return 0
}

func (o *options) addFlags(flags *flag.FlagSet) {
	flags.BoolVar(&o.leaderElect, "leader-elect", true, "act only while holding the Lease; without it never run two operators")
	flags.StringVar(&o.namespace, "namespace", "multinet-system", "namespace of the Lease")
	flags.DurationVar(&o.leaseDuration, "lease-duration", 15*time.Second, "how long others wait for a leader that says nothing")
	flags.DurationVar(&o.renewDeadline, "renew-deadline", 10*time.Second, "how long a leader that cannot renew goes on; shorter than the lease by the time of a request")
	flags.DurationVar(&o.retryPeriod, "retry-period", 2*time.Second, "time between two renewals")
	flags.StringVar(&o.metricsAddr, "metrics-bind-address", "0", "address for Prometheus metrics, such as 127.0.0.1:8080; 0 listens nowhere")
	flags.StringVar(&o.probeAddr, "health-probe-bind-address", "0", "address for health probes, such as 127.0.0.1:8081; 0 listens nowhere")
	// client-go's default of 20 requests per second would be the slowest part of attaching a pod.
	flags.Float64Var(&o.qps, "kube-api-qps", 500, "most requests per second to the API server, which has its own fairness")
	flags.IntVar(&o.burst, "kube-api-burst", 1000, "requests that may exceed the rate for a moment")
}

func (o *options) start(ctx context.Context, log logr.Logger) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the API server: %w", err)
	}
	config.QPS, config.Burst = float32(o.qps), o.burst
	managerOptions, fence, err := o.managerOptions(config, log)
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(config, managerOptions)
	if err != nil {
		return fmt.Errorf("creating the manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	if err := controllers.Setup(ctx, mgr, fence); err != nil {
		return fmt.Errorf("setting up the controllers: %w", err)
	}
	return mgr.Start(ctx)
}

func (o *options) managerOptions(config *rest.Config, log logr.Logger) (ctrl.Options, *controllers.Fence, error) {
	scheme, err := controllers.NewScheme()
	if err != nil {
		return ctrl.Options{}, nil, fmt.Errorf("registering types: %w", err)
	}
	managerOptions := ctrl.Options{
		Scheme:                 scheme,
		Logger:                 log,
		Cache:                  controllers.CacheOptions(),
		Metrics:                metricsserver.Options{BindAddress: o.metricsAddr},
		HealthProbeBindAddress: o.probeAddr,
	}
	if !o.leaderElect {
		return managerOptions, nil, nil
	}
	lock, err := o.lock(config)
	if err != nil {
		return ctrl.Options{}, nil, fmt.Errorf("preparing the leader election: %w", err)
	}
	fence := controllers.NewFence(lock, o.renewDeadline)
	managerOptions.LeaderElection = true
	managerOptions.LeaderElectionResourceLockInterface = fence
	managerOptions.LeaderElectionReleaseOnCancel = true
	managerOptions.LeaseDuration, managerOptions.RenewDeadline, managerOptions.RetryPeriod = &o.leaseDuration, &o.renewDeadline, &o.retryPeriod
	return managerOptions, fence, nil
}

func (o *options) lock(config *rest.Config) (resourcelock.Interface, error) {
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	identity := resourcelock.ResourceLockConfig{Identity: hostname + "_" + string(uuid.NewUUID())}
	return resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, o.namespace, leaseName, identity, config, o.renewDeadline)
}
