//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// bystanders are two pods that nobody touches, one per worker node, which ping each other over their network, by
// both families, from before the first fault to after the last.
var bystanders struct {
	namespace string
	// containers are the container IDs that the pods had at the start, by pod name.
	containers map[string]string
	node       string
}

// pingLog is on the node of the first bystander, one file per family.
const pingLog = "/tmp/bystander-ping"

// bystanderLabel marks their namespace.
const bystanderLabel = "e2e.multinet.dev/bystanders"

// stopOldBystanders removes those of an earlier run on a kept cluster, and first the pings: a process in a network
// namespace keeps it alive.
func stopOldBystanders(ctx context.Context) error {
	const stop = "for f in " + pingLog + "-*.pid; do [ ! -e $f ] || { kill $(cat $f); rm $f; }; done"
	if _, err := multi.OnNode(ctx, nodeA, "sh", "-c", stop); err != nil {
		return err
	}
	_, err := multi.Kubectl(ctx, nil, "delete", "namespaces", "--selector", bystanderLabel)
	return err
}

func startBystanders(ctx context.Context) error {
	if err := stopOldBystanders(ctx); err != nil {
		return err
	}
	bystanders.namespace = fmt.Sprintf("bystanders-%d", time.Now().Unix())
	bystanders.containers = map[string]string{}
	if err := multi.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: bystanders.namespace, Labels: map[string]string{bystanderLabel: ""},
	}}); err != nil {
		return fmt.Errorf("the bystanders' namespace: %w", err)
	}
	network := &v1alpha1.Network{ObjectMeta: metav1.ObjectMeta{Name: "bystanders"}, Spec: networkSpec("eth1")}
	if err := multi.Create(ctx, network); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the bystanders' Network: %w", err)
	}
	for node, name := range map[string]string{nodeA: "first", nodeB: "second"} {
		pod := box(bystanders.namespace, name, node, "bystanders")
		err := cluster.Until(ctx, 20*time.Second, "bystander "+name+" to be accepted", func(ctx context.Context) error { return multi.Create(ctx, pod) })
		if err != nil {
			return err
		}
	}
	for _, name := range []string{"first", "second"} {
		if err := waitBystander(ctx, name); err != nil {
			return err
		}
	}
	return startPing(ctx)
}

func waitBystander(ctx context.Context, name string) error {
	return cluster.Until(ctx, 2*time.Minute, "bystander "+name+" to be Ready", func(ctx context.Context) error {
		var pod corev1.Pod
		if err := multi.Get(ctx, client.ObjectKey{Namespace: bystanders.namespace, Name: name}, &pod); err != nil {
			return err
		}
		if err := cluster.PodReady(&pod); err != nil {
			return err
		}
		bystanders.containers[name] = pod.Status.ContainerStatuses[0].ContainerID
		return nil
	})
}

// startPing runs the pings from the node and not through the kubelet or containerd, which are to be restarted.
func startPing(ctx context.Context) error {
	var list v1alpha1.PodNetworkAttachmentList
	if err := multi.List(ctx, &list, client.InNamespace(bystanders.namespace)); err != nil {
		return fmt.Errorf("the bystanders' attachments: %w", err)
	}
	attachments := map[string]v1alpha1.PodNetworkAttachment{}
	for _, a := range list.Items {
		attachments[a.Spec.Pod.Name] = a
	}
	from, to := attachments["first"], attachments["second"]
	bystanders.node = from.Spec.NodeName
	state, err := (&scene{Cluster: multi}).inspectNode(ctx, from.Spec.NodeName)
	if err != nil {
		return err
	}
	l, err := state.linkOf(from)
	if err != nil {
		return err
	}
	for i, address := range to.Spec.Addresses {
		ping := fmt.Sprintf("echo $$ >%[1]s.pid; exec nsenter --net=%[2]s ping -n -O -i 0.5 -I %[3]s %[4]s >%[1]s 2>&1",
			fmt.Sprintf("%s-%d", pingLog, i), l.namespace, l.Name, netip.MustParsePrefix(address.Address).Addr())
		if out, err := multi.Detached(ctx, from.Spec.NodeName, "sh", "-c", ping); err != nil {
			return fmt.Errorf("the bystanders' ping: %w: %s", err, out)
		}
	}
	return nil
}

// assertBystanders fails the test if a bystander was restarted or lost a packet.
func (s *scene) assertBystanders() {
	s.t.Helper()
	for name, container := range bystanders.containers {
		var pod corev1.Pod
		if err := s.Get(s.ctx, client.ObjectKey{Namespace: bystanders.namespace, Name: name}, &pod); err != nil {
			s.t.Errorf("bystander %s: %v", name, err)
			continue
		}
		status := pod.Status.ContainerStatuses[0]
		if status.ContainerID != container || status.RestartCount != 0 {
			s.t.Errorf("bystander %s was touched: container %s became %s, %d restarts", name, container, status.ContainerID, status.RestartCount)
		}
	}
	for family := range 2 {
		s.until(time.Minute, "the bystanders' ping to have lost nothing", func(ctx context.Context) error {
			log, err := s.OnNode(ctx, bystanders.node, "cat", pingLog+"-"+strconv.Itoa(family))
			return errors.Join(err, lost(log))
		})
	}
}

var (
	answered   = regexp.MustCompile(`bytes from .* icmp_seq=(\d+)`)
	unanswered = regexp.MustCompile(`no answer yet for icmp_seq=(\d+)`)
)

// lost returns an error if an echo request of ping's log was never answered. A late answer is none: this machine
// stalls, the network does not.
func lost(log string) error {
	late := map[string]bool{}
	for _, match := range unanswered.FindAllStringSubmatch(log, -1) {
		late[match[1]] = true
	}
	answers := answered.FindAllStringSubmatch(log, -1)
	for _, match := range answers {
		delete(late, match[1])
	}
	if len(answers) == 0 || len(late) > 0 {
		return fmt.Errorf("%d echo requests were answered, %d were not: %s", len(answers), len(late), strings.Join(keys(late), " "))
	}
	return nil
}

func keys(set map[string]bool) []string {
	var all []string
	for k := range set {
		all = append(all, k)
	}
	return all
}
