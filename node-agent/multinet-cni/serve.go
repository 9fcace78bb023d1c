package main

import (
	"errors"
	"strconv"
	"syscall"

	"github.com/multinet-dev/multinet/apis/agent"
	"github.com/multinet-dev/multinet/node-agent/multinet-cni/unary"
)

// How long the plugin waits for the agent, in milliseconds: to take the connection, and to answer. The agent gives up an attach by itself after
// 10 s; all of them are far below the minutes that a kubelet waits for a sandbox.
const (
	dialLimit    = 1_000
	answerLimit  = 12_000
	collectLimit = 30_000
)

func (r *request) serve() ([]byte, *failure) {
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
func (r *request) call(limit int64, method string, request []byte) (refused *failure, err error) {
	conn, err := dial(r.config.socket, dialLimit, limit)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answer, err := unary.Call(conn, conn, method, limit, request)
	if err != nil {
		return nil, err
	}
	return refusal(answer)
}

// ofKubernetes tells whether the sandbox is a pod's. Others select nothing.
func (r *request) ofKubernetes() bool { return r.sandbox.podName != "" || r.sandbox.podUID != "" }

func (r *request) add() ([]byte, *failure) {
	if !r.ofKubernetes() {
		return r.result(), nil
	}
	if failed := r.answered(r.call(answerLimit, agent.MethodAdd, addRequest(&r.sandbox, r.previous.ips))); failed != nil {
		return nil, failed
	}
	return r.result(), nil
}

func (r *request) check() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	return r.answered(r.call(answerLimit, agent.MethodCheck, aboutSandbox(&r.sandbox)))
}

// answered is the failure of a call that cannot be done without the agent.
func (r *request) answered(refused *failure, err error) *failure {
	if err == nil {
		return refused
	}
	if r.selectsNothing() {
		return nil
	}
	return fail(agent.CodeTryAgain, "the node agent of Multinet does not answer",
		"pod "+r.sandbox.podNamespace+"/"+r.sandbox.podName+" selects networks; socket "+r.config.socket+": "+err.Error())
}

// selectsNothing can be told without the agent: it has written down every pod that selects networks before the kubelet was
// allowed to make its sandbox. In doubt the answer is no.
func (r *request) selectsNothing() bool {
	if r.sandbox.podUID == "" {
		return false
	}
	var stat syscall.Stat_t
	return errors.Is(syscall.Lstat(r.config.selected+"/"+r.sandbox.podUID+".json", &stat), syscall.ENOENT)
}

// del succeeds in any case but one: where the agent does not answer and the disk does not take the note for it, the runtime
// has to come again.
func (r *request) del() *failure {
	if !r.ofKubernetes() {
		return nil
	}
	request := aboutSandbox(&r.sandbox)
	refused, err := r.call(answerLimit, agent.MethodDelete, request)
	if err == nil {
		return refused
	}
	if noted := note(r.config.deleted, r.sandbox.id+"@"+r.sandbox.iface, request); noted != nil && !r.selectsNothing() {
		return fail(agent.CodeIO, "the node agent of Multinet does not answer, and that the sandbox ends cannot be noted for it",
			err.Error()+"; "+noted.Error())
	}
	return nil
}

func (r *request) collect() *failure {
	refused, err := r.call(collectLimit, agent.MethodCollect, collectRequest(r.config.name, r.config.valid))
	if err != nil {
		return fail(agent.CodeTryAgain, "the node agent of Multinet does not answer", "socket "+r.config.socket+": "+err.Error())
	}
	return refused
}

func (r *request) status() *failure {
	refused, err := r.call(answerLimit, agent.MethodStatus, nil)
	if err != nil {
		return fail(agent.CodeUnavailable, "the node agent of Multinet does not answer", "socket "+r.config.socket+": "+err.Error())
	}
	return refused
}

// note writes a DeleteRequest for the agent to find. It has its final name when it is complete, and until then one that no other
// process has.
func note(dir, name string, request []byte) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	unfinished := dir + "/.unfinished-" + strconv.Itoa(syscall.Getpid())
	err := writeFile(unfinished, request)
	if err == nil {
		err = syscall.Rename(unfinished, dir+"/"+name)
	}
	if err != nil {
		_ = syscall.Unlink(unfinished)
	}
	return err
}

func writeFile(path string, content []byte) error {
	const flags = syscall.O_WRONLY | syscall.O_CREAT | syscall.O_TRUNC | syscall.O_NOFOLLOW | syscall.O_CLOEXEC
	fd, err := syscall.Open(path, flags, 0o600)
	if err != nil {
		return err
	}
	_, err = descriptor(fd).Write(content)
	if closed := syscall.Close(fd); err == nil {
		err = closed
	}
	return err
}

// makeFolder makes it with those above it, for root alone.
func makeFolder(path string) error {
	err := syscall.Mkdir(path, 0o700)
	if above := parentOf(path); errors.Is(err, syscall.ENOENT) && above != "" {
		if err = makeFolder(above); err == nil {
			err = syscall.Mkdir(path, 0o700)
		}
	}
	if errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}
