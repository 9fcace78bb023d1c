//go:build e2e && bench

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// measured is one pod's way, on this client's clock: the conditions' own times have a resolution of one second.
type measured struct{ toContainers, toReady time.Duration }

// TestBenchPodLatency starts pods with and without a network alternately, one at a time.
func TestBenchPodLatency(t *testing.T) {
	s := newScene(t, nodeA)
	s.network("timed", networkSpec("eth1"))
	const pods = 15
	results := map[string][]measured{}
	for i := range pods + 1 {
		for _, selection := range []string{"", "timed"} {
			m := s.measure(fmt.Sprintf("pod-%d-%d", i, len(selection)), selection)
			if i > 0 { // the first pair pays for caches
				results[selection] = append(results[selection], m)
			}
		}
	}
	without, with := results[""], results["timed"]
	containers := func(m measured) time.Duration { return m.toContainers }
	ready := func(m measured) time.Duration { return m.toReady }
	t.Logf("%d pods each, bound -> containers ready (median, max): without network %s, with %s", pods, spread(without, containers), spread(with, containers))
	t.Logf("%d pods each, bound -> Ready (median, max): without network %s, with %s", pods, spread(without, ready), spread(with, ready))
	plain, attached := median(without, containers), median(with, containers)
	fmt.Printf("pod-latency adds %.0f ms (goal: at most 50)\n", (attached-plain).Seconds()*1000)
	fmt.Printf("ratio pod-latency %.3f\n", attached.Seconds()/plain.Seconds())
}

// measure creates a pod and follows it from PodScheduled to ContainersReady and Ready.
func (s *scene) measure(name, selection string) measured {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
	defer cancel()
	events, err := s.Watch(ctx, &corev1.PodList{}, client.InNamespace(s.namespace), client.MatchingFields{"metadata.name": name})
	s.must(err)
	defer events.Stop()
	s.create(name, nodeA, selection)
	seen := map[corev1.PodConditionType]time.Time{}
	for event := range events.ResultChan() {
		now := time.Now()
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			continue
		}
		for _, c := range pod.Status.Conditions {
			if _, known := seen[c.Type]; !known && c.Status == corev1.ConditionTrue {
				seen[c.Type] = now
			}
		}
		if ready, ok := seen[corev1.PodReady]; ok {
			bound := seen[corev1.PodScheduled]
			return measured{seen[corev1.ContainersReady].Sub(bound), ready.Sub(bound)}
		}
	}
	s.t.Fatalf("pod %s was not Ready within a minute: %v", name, seen)
	return measured{}
}

func median(all []measured, of func(measured) time.Duration) time.Duration {
	sorted := durations(all, of)
	return sorted[len(sorted)/2]
}

func durations(all []measured, of func(measured) time.Duration) []time.Duration {
	var sorted []time.Duration
	for _, m := range all {
		sorted = append(sorted, of(m))
	}
	slices.Sort(sorted)
	return sorted
}

func spread(all []measured, of func(measured) time.Duration) string {
	sorted := durations(all, of)
	return fmt.Sprintf("%d, %d ms", median(all, of).Milliseconds(), sorted[len(sorted)-1].Milliseconds())
}

// TestBenchAgentMemory reads the agent's resident memory with 100 attachments on its node.
func TestBenchAgentMemory(t *testing.T) {
	s := newScene(t, nodeA)
	s.network("many", networkSpec("eth1"))
	empty := s.resident(nodeA)
	names := s.createMany(25, "pod", nodeA, "many,many,many,many")
	s.waitReady(4*time.Minute, names...)
	t.Logf("agent before: %s", empty)
	t.Logf("agent with 100 attachments: %s", s.resident(nodeA))
	kib, err := strconv.Atoi(strings.Fields(s.resident(nodeA))[1])
	s.must(err)
	fmt.Printf("agent-rss %.1f MiB (goal: under 40)\n", float64(kib)/1024)
}

// TestBenchImageSize adds up nothing: each image is one static program.
func TestBenchImageSize(t *testing.T) {
	for _, program := range []string{"operator", "agent"} {
		info, err := os.Stat(filepath.Join(tool.Repository, "bin", "multinet-"+program))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("image-size %s %.1f MiB (goal: under 60)\n", program, float64(info.Size())/(1<<20))
	}
}

// resident are the lines VmRSS, RssAnon, RssFile of the agent on a node, as one.
func (s *scene) resident(node string) string {
	s.t.Helper()
	agent, err := s.agent(s.ctx, node)
	s.must(err)
	id := strings.TrimPrefix(agent.Status.ContainerStatuses[0].ContainerID, "containerd://")
	out, err := s.OnNode(s.ctx, node, "sh", "-c",
		`grep -E 'VmRSS|RssAnon|RssFile' /proc/$(ctr --namespace k8s.io tasks ls | awk -v id=`+id+` '$1 == id {print $2}')/status`)
	s.must(err)
	return strings.Join(strings.Fields(out), " ")
}
