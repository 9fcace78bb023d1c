package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/unary"
)

// How long the plugin waits for the agent: to take the connection, and to answer. The agent gives up an attach by itself after
// 10 s; all of them are far below the minutes that a kubelet waits for a sandbox.
const (
	dialLimit    = time.Second
	answerLimit  = 12 * time.Second
	collectLimit = 30 * time.Second
)

func serve(r request) ([]byte, *failure) {
	switch r.command {
	case "ADD":
		return r.add()
	case "DEL":
		return nil, r.del()
	case "CHECK":
		return nil, r.check()
	case "GC":
		return nil, r.collect()
	case "STATUS":
		return nil, r.status()
	}
	return r.version(), nil
}

// call asks the agent. An error means that it has not answered.
func (r request) call(limit time.Duration, method string, request, answer proto.Message) error {
	conn, err := net.DialTimeout("unix", r.config.Socket, dialLimit)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return unary.Call(ctx, conn, method, request, answer)
}

// ofKubernetes tells whether the sandbox is a pod's. Others select nothing.
func (r request) ofKubernetes() bool { return r.sandbox.PodName != "" || r.sandbox.PodUid != "" }

func (r request) add() ([]byte, *failure) {
	if !r.ofKubernetes() {
		return r.result(), nil
	}
	var answer agentv1.AddResponse
	err := r.call(answerLimit, agentv1.MethodAdd, &agentv1.AddRequest{Sandbox: r.sandbox, Ips: r.ips}, &answer)
	if failed := r.answered(err, answer.Failure); failed != nil {
		return nil, failed
	}
	return r.result(), nil
}

func (r request) check() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	var answer agentv1.CheckResponse
	err := r.call(answerLimit, agentv1.MethodCheck, &agentv1.CheckRequest{Sandbox: r.sandbox}, &answer)
	return r.answered(err, answer.Failure)
}

// answered is the failure of a call that cannot be done without the agent.
func (r request) answered(err error, refused *agentv1.Failure) *failure {
	if err == nil {
		return failureOf(refused)
	}
	if r.selectsNothing() {
		return nil
	}
	return fail(agentv1.CodeTryAgain, "the node agent of Multinet does not answer", "pod %s/%s selects networks; socket %s: %v",
		r.sandbox.PodNamespace, r.sandbox.PodName, r.config.Socket, err)
}

// selectsNothing can be told without the agent: it has written down every pod that selects networks before the kubelet was
// allowed to make its sandbox. In doubt the answer is no.
func (r request) selectsNothing() bool {
	if r.sandbox.PodUid == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(r.config.Selected, r.sandbox.PodUid+".json"))
	return os.IsNotExist(err)
}

// del succeeds in any case but one: where the agent does not answer and the disk does not take the note for it, the runtime
// has to come again.
func (r request) del() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	request, answer := &agentv1.DeleteRequest{Sandbox: r.sandbox}, &agentv1.DeleteResponse{}
	err := r.call(answerLimit, agentv1.MethodDelete, request, answer)
	if err == nil {
		return failureOf(answer.Failure)
	}
	if noted := note(r.config.Deleted, request); noted != nil && !r.selectsNothing() {
		return fail(agentv1.CodeIO, "the node agent of Multinet does not answer, and that the sandbox ends cannot be noted for it", "%v; %v", err, noted)
	}
	return nil
}

func (r request) collect() *failure {
	request, answer := &agentv1.CollectRequest{Network: r.config.Name}, &agentv1.CollectResponse{}
	for _, a := range *r.config.Valid {
		request.Valid = append(request.Valid, &agentv1.Valid{Id: a.ContainerID, Interface: a.Interface})
	}
	if err := r.call(collectLimit, agentv1.MethodCollect, request, answer); err != nil {
		return fail(agentv1.CodeTryAgain, "the node agent of Multinet does not answer", "socket %s: %v", r.config.Socket, err)
	}
	return failureOf(answer.Failure)
}

func (r request) status() *failure {
	answer := &agentv1.StatusResponse{}
	if err := r.call(answerLimit, agentv1.MethodStatus, &agentv1.StatusRequest{}, answer); err != nil {
		return fail(agentv1.CodeUnavailable, "the node agent of Multinet does not answer", "socket %s: %v", r.config.Socket, err)
	}
	return failureOf(answer.Failure)
}

// note writes a request for the agent to find. It has its final name when it is complete.
func note(dir string, request *agentv1.DeleteRequest) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	content, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".unfinished-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, fmt.Sprintf("%s@%s", request.Sandbox.Id, request.Sandbox.Interface)))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
