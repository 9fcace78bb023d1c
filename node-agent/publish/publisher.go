package publish

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

// The helper that runs a write retries after 50 ms, then twice as long each time up to two minutes.
const (
	retryFirst = 50 * time.Millisecond
	retryMax   = 2 * time.Minute
	workers    = 4
)

// Attachments finds an attachment in the cache of the node.
type Attachments interface {
	Get(namespace, name string) (*v1alpha1.PodNetworkAttachment, bool)
}

// key is an item of the queue: a pod's report, or the release of one attachment.
type key struct {
	release         bool
	namespace, name string
	// uid of the pod or of the attachment.
	uid types.UID
}

// Publisher writes reports to the API server. The queue holds each pod and each released attachment at most once,
// so it is as long as the node has pods.
type Publisher struct {
	log         logr.Logger
	writer      writer
	attachments Attachments
	// defaultNetwork is the name of the cluster's default network in the network-status annotation.
	defaultNetwork string
	queue          workqueue.TypedRateLimitingInterface[key]

	mu      sync.Mutex
	reports map[types.UID]Report
	// written is the last body that the API server took, by pod and path.
	written map[types.UID]map[string]string
	// since is when the state of a condition began, by pod and condition.
	since map[types.UID]map[string]transition
}

type transition struct {
	state string
	at    time.Time
}

// New returns a Publisher whose queue is filled at once and emptied by Run.
func New(log logr.Logger, clients Clients, attachments Attachments, defaultNetwork string) *Publisher {
	return &Publisher{
		log: log, writer: clients, attachments: attachments, defaultNetwork: defaultNetwork,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[key](retryFirst, retryMax)),
		reports: map[types.UID]Report{},
		written: map[types.UID]map[string]string{},
		since:   map[types.UID]map[string]transition{},
	}
}

// Publish has the report written soon. It replaces an earlier report of the pod that was not written yet.
func (p *Publisher) Publish(r Report) {
	p.mu.Lock()
	p.reports[r.UID] = r
	p.mu.Unlock()
	p.queue.Add(key{namespace: r.Namespace, name: r.Name, uid: r.UID})
}

// Release has the finalizer of an attachment removed soon.
func (p *Publisher) Release(namespace, name string, uid types.UID) {
	p.queue.Add(key{release: true, namespace: namespace, name: name, uid: uid})
}

// Forget drops what is known of a pod, with a report that was not written.
func (p *Publisher) Forget(podUID types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.reports, podUID)
	delete(p.written, podUID)
	delete(p.since, podUID)
}

// Run writes until ctx ends.
func (p *Publisher) Run(ctx context.Context) {
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.queue.ShutDown()
	running.Wait()
}

func (p *Publisher) next(ctx context.Context) bool {
	k, shutdown := p.queue.Get()
	if shutdown {
		return false
	}
	defer p.queue.Done(k)
	if err := p.do(ctx, k); err != nil {
		p.log.Info("write to the API server again later", "namespace", k.namespace, "name", k.name, "cause", err.Error())
		p.queue.AddRateLimited(k)
		return true
	}
	p.queue.Forget(k)
	return true
}

func (p *Publisher) do(ctx context.Context, k key) error {
	if k.release {
		return p.release(ctx, k)
	}
	p.mu.Lock()
	r, ok := p.reports[k.uid]
	p.mu.Unlock()
	if !ok {
		return nil
	}
	return p.report(ctx, r)
}

// lasting returns since when the condition of a pod has been in the state.
func (p *Publisher) lasting(podUID types.UID, condition, state string, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	byCondition := p.since[podUID]
	if byCondition == nil {
		byCondition = map[string]transition{}
		p.since[podUID] = byCondition
	}
	if byCondition[condition].state != state {
		byCondition[condition] = transition{state: state, at: now}
	}
	return byCondition[condition].at
}

func (p *Publisher) wasWritten(podUID types.UID, path, body string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written[podUID][path] == body
}

func (p *Publisher) setWritten(podUID types.UID, path, body string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.written[podUID] == nil {
		p.written[podUID] = map[string]string{}
	}
	p.written[podUID][path] = body
}
