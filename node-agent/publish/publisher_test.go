package publish

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// server records writes, and fails those that errs names.
type server struct {
	mu     sync.Mutex
	writes []string
	bodies map[string]string
	errs   map[string]error
	pna    *v1alpha1.PodNetworkAttachment
}

func (s *server) patch(_ context.Context, t target, _ types.PatchType, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, t.String())
	if err := s.errs[t.resource]; err != nil {
		return err
	}
	s.bodies[t.resource] = string(body)
	return nil
}

func (s *server) Get(namespace, name string) (*v1alpha1.PodNetworkAttachment, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pna, s.pna != nil && s.pna.Namespace == namespace && s.pna.Name == name
}

func (s *server) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	writes := s.writes
	s.writes = nil
	return writes
}

func (s *server) fail(resource string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.errs[resource] = err
}

func newServer(t *testing.T) (*server, *Publisher) {
	s := &server{bodies: map[string]string{}, errs: map[string]error{}, pna: &v1alpha1.PodNetworkAttachment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "order", ResourceVersion: "7",
			Finalizers: []string{"other", v1alpha1.FinalizerRelease}},
		Spec: v1alpha1.PodNetworkAttachmentSpec{Pod: v1alpha1.PodReference{Name: "p", UID: "pod"}},
	}}
	p := New(logr.Discard(), Clients{}, s, "default")
	p.writer = s
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return s, p
}

func attachedReport() Report {
	return Report{
		Namespace: "ns", Name: "p", UID: "pod", SandboxID: "box", PrimaryIPs: []netip.Addr{netip.MustParseAddr("10.244.0.7")},
		Interfaces: []Interface{{
			Plan: plan.Attachment{Name: "a", Network: "storage", Interface: "net1", QoS: &plan.QoS{Class: "gold"},
				Claim:  &plan.Claim{Name: "claim", UID: "c", Pool: "node", Device: "uplink-eth1", ShareID: "share"},
				Device: plan.Device{Name: "uplink-eth1", Uplink: "eth1"}},
			InPod: true, Reason: v1alpha1.ReasonAttached, MTU: 1500, MAC: plan.HardwareAddr{2, 0, 0, 0, 0, 1}, QoS: missing(),
			Addresses: []netip.Prefix{netip.MustParsePrefix("10.20.0.5/24")}, Duration: 1234567,
		}},
	}
}

// missing is a class of which one knob is in force.
func missing() *plan.QoSReport {
	r := &plan.QoSReport{Egress: plan.Bandwidth{Maximum: 20_000_000}}
	r.Miss(plan.KnobPriority, v1alpha1.ReasonQoSNotSupported, "no tags")
	return r
}

var threeWrites = []string{"pods ns/p status", "resourceclaims ns/claim status", "podnetworkattachments ns/a status"}

func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		r := attachedReport()
		p.Publish(r)
		synctest.Wait()
		if diff := cmp.Diff(threeWrites, s.take()); diff != "" {
			t.Errorf("first report: %s", diff)
		}
		time.Sleep(time.Minute)
		p.Publish(r)
		synctest.Wait()
		if got := s.take(); got != nil {
			t.Errorf("the same report again wrote %v", got)
		}
		r.Interfaces[0].Reason, r.Interfaces[0].Message = v1alpha1.ReasonUplinkDown, "no carrier"
		p.Publish(r)
		synctest.Wait()
		if diff := cmp.Diff(threeWrites[2:], s.take()); diff != "" {
			t.Errorf("carrier lost: the pod keeps its condition: %s", diff)
		}
	})
}

func TestBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		p.Publish(attachedReport())
		synctest.Wait()
		for resource, wants := range map[string][]string{
			"pods":           {`"uid":"pod"`, `"type":"multinet.dev/attached"`, `"status":"True"`, `\"networkName\":\"storage\"`, `\"default\": true`},
			"resourceclaims": {`"shareID":"share"`, `"interfaceName":"net1"`, `"10.20.0.5/24"`, `"uid":"c"`},
			"podnetworkattachments": {`"reason":"Attached"`, `"reason":"QoSNotSupported"`, `"message":"priority: no tags"`, `"qos":{"className":"gold","egress":{"maximum":"20M"}}`, `"sandboxID":"box"`,
				`"attachDuration":"1.235ms"`, `"uplink":"eth1"`, `"mac":"02:00:00:00:00:01"`},
		} {
			for _, want := range wants {
				if !strings.Contains(s.bodies[resource], want) {
					t.Errorf("%s lacks %s:\n%s", resource, want, s.bodies[resource])
				}
			}
		}
	})
}

func TestKindOfTheDevice(t *testing.T) {
	nic := plan.Device{Name: "uplink-eth1", Uplink: "eth1"}
	for name, test := range map[string]struct {
		plan plan.Attachment
		want v1alpha1.DeviceKind
	}{
		"uplink":  {plan.Attachment{Device: nic}, v1alpha1.DeviceKindUplink},
		"overlay": {plan.Attachment{Device: nic, Overlay: &plan.Overlay{VNI: 7}}, v1alpha1.DeviceKindOverlay},
	} {
		want := v1alpha1.AttachedDevice{Kind: test.want, Name: "uplink-eth1", Uplink: "eth1"}
		if diff := cmp.Diff(want, device(Interface{Plan: test.plan})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Conflicts are told while they last, and are no part of a good report.
func TestConflictsInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		r := attachedReport()
		r.Trouble = "address 10.20.0.5 is used by 02:aa:00:00:00:01"
		i := &r.Interfaces[0]
		i.InPod, i.Reason, i.Message = false, v1alpha1.ReasonDuplicateAddress, r.Trouble
		i.Conflicts = []plan.Conflict{{Addr: netip.MustParseAddr("10.20.0.5"), MAC: plan.HardwareAddr{2, 0xaa, 0, 0, 0, 1}}}
		p.Publish(r)
		synctest.Wait()
		want := `"conflicts":[{"address":"10.20.0.5","mac":"02:aa:00:00:00:01"}]`
		if body := s.bodies["podnetworkattachments"]; !strings.Contains(body, want) {
			t.Errorf("lacks %s:\n%s", want, body)
		}
		p.Publish(attachedReport())
		synctest.Wait()
		if body := s.bodies["podnetworkattachments"]; strings.Contains(body, "conflicts") {
			t.Errorf("still has conflicts:\n%s", body)
		}
	})
}

func TestFailuresAreWrittenOnceAndTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		r := attachedReport()
		r.Trouble = `network "storage" interface net1: find uplink: gone`
		r.Interfaces[0].InPod, r.Interfaces[0].Reason, r.Interfaces[0].Message = false, v1alpha1.ReasonUplinkNotFound, r.Trouble
		for range 3 {
			p.Publish(r)
			synctest.Wait()
			time.Sleep(15 * time.Second)
		}
		if diff := cmp.Diff([]string{threeWrites[0], threeWrites[2]}, s.take()); diff != "" {
			t.Error(diff)
		}
		s.wantFailed(t, "pods", v1alpha1.PodConditionAttached, v1alpha1.ReasonUplinkNotFound, r.Trouble)
		s.wantFailed(t, "podnetworkattachments", v1alpha1.AttachmentConditionReady, v1alpha1.ReasonUplinkNotFound, r.Trouble)
		p.Publish(attachedReport())
		synctest.Wait()
		if diff := cmp.Diff(threeWrites, s.take()); diff != "" {
			t.Error(diff)
		}
	})
}

// wantFailed looks at the first condition that was written to an object.
func (s *server) wantFailed(t *testing.T, resource, kind, reason, message string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var object struct {
		Status struct{ Conditions []metav1.Condition }
	}
	if err := json.Unmarshal([]byte(s.bodies[resource]), &object); err != nil {
		t.Fatal(err)
	}
	if c := object.Status.Conditions[0]; c.Type != kind || c.Status != metav1.ConditionFalse || c.Reason != reason || c.Message != message {
		t.Errorf("%s: condition %+v, want %s=False with reason %s and message %q", resource, c, kind, reason, message)
	}
}

// A duplicate address is told with the MAC of who has it.
func TestDuplicateAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		r := attachedReport()
		r.Trouble = `network "storage" interface net1: probe the addresses: address 10.20.0.5 is used by 02:aa:aa:aa:aa:aa on the segment of uplink eth1`
		r.Interfaces[0].InPod, r.Interfaces[0].Reason, r.Interfaces[0].Message = false, v1alpha1.ReasonDuplicateAddress, r.Trouble
		p.Publish(r)
		synctest.Wait()
		s.wantFailed(t, "pods", v1alpha1.PodConditionAttached, v1alpha1.ReasonDuplicateAddress, r.Trouble)
		s.wantFailed(t, "podnetworkattachments", v1alpha1.AttachmentConditionReady, v1alpha1.ReasonDuplicateAddress, r.Trouble)
	})
}

func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		s.fail("resourceclaims", errors.New("unavailable"))
		p.Publish(attachedReport())
		synctest.Wait()
		if diff := cmp.Diff(threeWrites[:2], s.take()); diff != "" {
			t.Errorf("the attachment is written last: %s", diff)
		}
		s.fail("resourceclaims", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(threeWrites[1:], s.take()); diff != "" {
			t.Errorf("what was written is not written again: %s", diff)
		}
	})
}

func TestGoneObjects(t *testing.T) {
	gone := map[string]error{
		"deleted":              apierrors.NewNotFound(schema.GroupResource{}, "p"),
		"another of that name": apierrors.NewConflict(schema.GroupResource{}, "p", errors.New("uid")),
	}
	for name, err := range gone {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, p := newServer(t)
				for _, resource := range []string{"pods", "resourceclaims", "podnetworkattachments"} {
					s.fail(resource, err)
				}
				p.Publish(attachedReport())
				time.Sleep(time.Minute)
				synctest.Wait()
				if diff := cmp.Diff(threeWrites, s.take()); diff != "" {
					t.Errorf("each is tried once: %s", diff)
				}
			})
		})
	}
}

func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, p := newServer(t)
		s.fail("podnetworkattachments", apierrors.NewConflict(schema.GroupResource{}, "a", errors.New("resourceVersion")))
		p.Release("ns", "a", "order")
		synctest.Wait()
		s.fail("podnetworkattachments", nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(s.take()); n != 2 {
			t.Errorf("%d writes, want one refused and one taken", n)
		}
		want := `{"metadata":{"finalizers":["other"],"resourceVersion":"7","uid":"order"}}`
		if got := s.bodies["podnetworkattachments"]; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		s.mu.Lock()
		s.pna = nil
		s.mu.Unlock()
		p.Release("ns", "a", "order")
		synctest.Wait()
		if got := s.take(); got != nil {
			t.Errorf("released what is gone: %v", got)
		}
	})
}
