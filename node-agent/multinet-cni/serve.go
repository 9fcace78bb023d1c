package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/multinet-dev/multinet/apis/agent"
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
func (r request) call(limit time.Duration, method string, request []byte) (refused *failure, err error) {
	deadline := time.Now().Add(limit)
	conn, err := dial(r.config.Socket, dialLimit, deadline)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := unary.Call(conn, method, limit, request)
	if err != nil {
		return nil, err
	}
	return refusal(answer)
}

// ofKubernetes tells whether the sandbox is a pod's. Others select nothing.
func (r request) ofKubernetes() bool { return r.sandbox.podName != "" || r.sandbox.podUID != "" }

func (r request) add() ([]byte, *failure) {
	if !r.ofKubernetes() {
		return r.result(), nil
	}
	if failed := r.answered(r.call(answerLimit, agent.MethodAdd, addRequest(r.sandbox, r.ips))); failed != nil {
		return nil, failed
	}
	return r.result(), nil
}

func (r request) check() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	return r.answered(r.call(answerLimit, agent.MethodCheck, aboutSandbox(r.sandbox)))
}

// answered is the failure of a call that cannot be done without the agent.
func (r request) answered(refused *failure, err error) *failure {
	if err == nil {
		return refused
	}
	if r.selectsNothing() {
		return nil
	}
	return fail(agent.CodeTryAgain, "the node agent of Multinet does not answer", "pod %s/%s selects networks; socket %s: %v",
		r.sandbox.podNamespace, r.sandbox.podName, r.config.Socket, err)
}

// selectsNothing can be told without the agent: it has written down every pod that selects networks before the kubelet was
// allowed to make its sandbox. In doubt the answer is no.
func (r request) selectsNothing() bool {
	if r.sandbox.podUID == "" {
		return false
	}
	_, err := os.Lstat(filepath.Join(r.config.Selected, r.sandbox.podUID+".json"))
	return os.IsNotExist(err)
}

// del succeeds in any case but one: where the agent does not answer and the disk does not take the note for it, the runtime
// has to come again.
func (r request) del() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	request := aboutSandbox(r.sandbox)
	refused, err := r.call(answerLimit, agent.MethodDelete, request)
	if err == nil {
		return refused
	}
	if noted := note(r.config.Deleted, r.sandbox.id+"@"+r.sandbox.iface, request); noted != nil && !r.selectsNothing() {
		return fail(agent.CodeIO, "the node agent of Multinet does not answer, and that the sandbox ends cannot be noted for it", "%v; %v", err, noted)
	}
	return nil
}

func (r request) collect() *failure {
	refused, err := r.call(collectLimit, agent.MethodCollect, collectRequest(r.config.Name, *r.config.Valid))
	if err != nil {
		return fail(agent.CodeTryAgain, "the node agent of Multinet does not answer", "socket %s: %v", r.config.Socket, err)
	}
	return refused
}

func (r request) status() *failure {
	refused, err := r.call(answerLimit, agent.MethodStatus, nil)
	if err != nil {
		return fail(agent.CodeUnavailable, "the node agent of Multinet does not answer", "socket %s: %v", r.config.Socket, err)
	}
	return refused
}

// note writes a DeleteRequest for the agent to find. It has its final name when it is complete.
func note(dir, name string, request []byte) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, ".unfinished-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(request)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
