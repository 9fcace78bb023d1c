// Package cni is the door of container runtimes without NRI: it serves the CNI plugin multinet-cni, and puts that plugin into
// the node's network configuration. Like NRI it only translates into the sandboxes' keeper.
package cni

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/apis/agent"
	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
	"github.com/multinet-dev/multinet/apis/agent/v1/service"
	"github.com/multinet-dev/multinet/node-agent/attach"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// Sandboxes is what the calls become.
type Sandboxes interface {
	// SelectionOf and SelectsByName read memory alone: they are asked for every pod of the node.
	SelectionOf(podUID types.UID) string
	SelectsByName(namespace, name string) bool
	RunSandbox(context.Context, sandboxes.Sandbox) error
	VerifySandbox(context.Context, sandboxes.Sandbox) error
	StopSandbox(context.Context, sandboxes.Sandbox)
	// Find and Attached return sandboxes that may have something of ours.
	Find(id string) (sandboxes.Sandbox, bool)
	Attached(network string) []sandboxes.Sandbox
	Health() (connected bool, lacking int)

	Restore()
	Connected()
	Disconnected()
}

// server implements the service.
type server struct {
	service.UnimplementedSandboxesServer
	log       logr.Logger
	sandboxes Sandboxes
}

// Add costs a pod that selects nothing three look-ups in memory and a record of its sandbox, for what it may be given later.
func (s *server) Add(ctx context.Context, r *agentv1.AddRequest) (*agentv1.AddResponse, error) {
	sandbox, failure := s.sandboxOf(r.GetSandbox())
	if failure != nil {
		return &agentv1.AddResponse{Failure: failure}, nil
	}
	for _, text := range r.Ips {
		ip, err := netip.ParseAddr(text)
		if err != nil {
			return &agentv1.AddResponse{Failure: failureOf(agent.CodeDecode, "an address of the pod cannot be read", err)}, nil
		}
		sandbox.IPs = append(sandbox.IPs, ip)
	}
	err := s.sandboxes.RunSandbox(ctx, sandbox)
	if err != nil {
		s.log.Info("sandbox was not attached", "pod", sandbox.Namespace+"/"+sandbox.Name, "id", sandbox.ID, "cause", err.Error())
	}
	return &agentv1.AddResponse{Failure: addFailure(err)}, nil
}

// addFailure tells what the kernel or a NIC refuses from what somebody else has to do first, and so may be there the next time.
func addFailure(err error) *agentv1.Failure {
	var path *attach.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &path) && !errors.Is(err, context.DeadlineExceeded):
		return failureOf(agent.CodeAttach, "the pod cannot be attached to a network that it selects", err)
	}
	return failureOf(agent.CodeTryAgain, "the pod cannot be attached yet to the networks that it selects", err)
}

// Check looks at the kernel, not at what the agent remembers.
func (s *server) Check(ctx context.Context, r *agentv1.CheckRequest) (*agentv1.CheckResponse, error) {
	sandbox, failure := s.sandboxOf(r.GetSandbox())
	if failure != nil || sandbox.Selection == "" {
		return &agentv1.CheckResponse{Failure: failure}, nil
	}
	err := s.sandboxes.VerifySandbox(ctx, sandbox)
	switch {
	case err == nil:
		return &agentv1.CheckResponse{}, nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		failure = failureOf(agent.CodeTryAgain, "the sandbox could not be looked at in time", err)
	default:
		failure = failureOf(agent.CodeNotAsPlanned, "the pod does not have the networks that it selects", err)
	}
	return &agentv1.CheckResponse{Failure: failure}, nil
}

// Delete never fails for a sandbox whose namespace or plan is gone.
func (s *server) Delete(ctx context.Context, r *agentv1.DeleteRequest) (*agentv1.DeleteResponse, error) {
	end(ctx, s.sandboxes, r.GetSandbox())
	return &agentv1.DeleteResponse{}, nil
}

// end empties a sandbox. What was recorded of it counts for more than what the runtime still knows.
func end(ctx context.Context, all Sandboxes, s *agentv1.Sandbox) {
	sandbox, known := all.Find(s.GetId())
	if !known {
		sandbox = translate(s)
	}
	all.StopSandbox(ctx, sandbox)
}

// Collect empties all sandboxes of one network configuration that are not listed. Other configurations of the node have lists of
// their own.
func (s *server) Collect(ctx context.Context, r *agentv1.CollectRequest) (*agentv1.CollectResponse, error) {
	valid := map[attachmentID]bool{}
	for _, v := range r.GetValid() {
		valid[attachmentID{v.GetId(), v.GetInterface()}] = true
	}
	for _, sandbox := range s.sandboxes.Attached(r.GetNetwork()) {
		if valid[attachmentID{sandbox.ID, sandbox.Interface}] {
			continue
		}
		s.log.Info("the runtime does not know the sandbox any more", "pod", sandbox.Namespace+"/"+sandbox.Name, "id", sandbox.ID)
		s.sandboxes.StopSandbox(ctx, sandbox)
	}
	var left []string
	for _, sandbox := range s.sandboxes.Attached(r.GetNetwork()) {
		if !valid[attachmentID{sandbox.ID, sandbox.Interface}] {
			left = append(left, sandbox.ID)
		}
	}
	if len(left) > 0 {
		return &agentv1.CollectResponse{Failure: failureOf(agent.CodeNotFreed, "sandboxes still have interfaces", fmt.Errorf("they are tried again: %v", left))}, nil
	}
	return &agentv1.CollectResponse{}, nil
}

// attachmentID is an attachment in the sense of CNI.
type attachmentID struct{ id, iface string }

// Status says no where no pod could be prepared.
func (s *server) Status(context.Context, *agentv1.StatusRequest) (*agentv1.StatusResponse, error) {
	connected, lacking := s.sandboxes.Health()
	if connected {
		return &agentv1.StatusResponse{}, nil
	}
	err := errors.New("the plugin is not in the chain of the network configuration that the runtime uses: see the log of the node agent")
	if lacking > 0 {
		return &agentv1.StatusResponse{Failure: failureOf(agent.CodeLimited,
			fmt.Sprintf("no pod can be attached, and %d sandboxes lack a network", lacking), err)}, nil
	}
	return &agentv1.StatusResponse{Failure: failureOf(agent.CodeUnavailable, "no pod can be attached", err)}, nil
}

func failureOf(code uint32, message string, err error) *agentv1.Failure {
	return &agentv1.Failure{Code: code, Message: "multinet: " + message, Details: err.Error()}
}

// sandboxOf finds out what the pod selects. Only a pod without a UID whose name is known cannot be told.
func (s *server) sandboxOf(from *agentv1.Sandbox) (sandboxes.Sandbox, *agentv1.Failure) {
	sandbox := translate(from)
	if sandbox.PodUID == "" {
		if s.sandboxes.SelectsByName(sandbox.Namespace, sandbox.Name) {
			return sandbox, failureOf(agent.CodeEnvironment, "CNI_ARGS lacks K8S_POD_UID",
				fmt.Errorf("pod %s/%s selects networks, and only the UID tells it from its predecessors", sandbox.Namespace, sandbox.Name))
		}
		return sandbox, nil
	}
	sandbox.Selection = s.sandboxes.SelectionOf(sandbox.PodUID)
	return sandbox, nil
}

func translate(s *agentv1.Sandbox) sandboxes.Sandbox {
	return sandboxes.Sandbox{
		ID: s.GetId(), NetNS: s.GetNetns(), Namespace: s.GetPodNamespace(), Name: s.GetPodName(), PodUID: types.UID(s.GetPodUid()),
		Network: s.GetNetwork(), Interface: s.GetInterface(),
	}
}
