package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/multinet-dev/multinet/node-agent/cni/cnitest"
)

// agentProcess is the agent in a process of its own, as on a node. In that of the benchmark it would stand still while that
// starts a plugin, since Go keeps the processor for a fork.
type agentProcess struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
}

// The words that it is told and answers with.
const (
	orderPrepare = "prepare"
	orderEnd     = "end"
	answerDone   = "done"
)

// startAgent starts this program again, with the flags that have it be the agent of a node.
func startAgent(ctx context.Context, node *cnitest.Node, namespace string) (*agentProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &agentProcess{cmd: exec.CommandContext(ctx, self, "-agent", node.Dir, "-namespace", namespace, "-program", node.Program)}
	a.cmd.Stderr = os.Stderr
	if a.orders, err = a.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	answers, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.answers = bufio.NewReader(answers)
	if err := a.cmd.Start(); err != nil {
		return nil, err
	}
	return a, a.answered() // when pods can be prepared
}

// tell gives an order about a pod and waits until it is carried out.
func (a *agentProcess) tell(order, uid string) error {
	if _, err := fmt.Fprintln(a.orders, order, uid); err != nil {
		return err
	}
	return a.answered()
}

func (a *agentProcess) answered() error {
	line, err := a.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the agent: %w", err)
	}
	if answer := strings.TrimSpace(line); answer != answerDone {
		return fmt.Errorf("the agent: %s", answer)
	}
	return nil
}

func (a *agentProcess) stop() error { return errors.Join(a.orders.Close(), a.cmd.Wait()) }

// beAgent carries out orders until there are no more.
func beAgent(ctx context.Context, dir, namespace, program string, orders io.Reader, answers io.Writer) error {
	node, err := cnitest.New(dir, namespace, program)
	if err != nil {
		return err
	}
	if err := node.Start(ctx); err != nil {
		return err
	}
	lines := bufio.NewScanner(orders)
	for err := error(nil); ; {
		answer := answerDone
		if err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(answers, answer); err != nil {
			return err
		}
		if !lines.Scan() {
			return errors.Join(lines.Err(), node.Stop())
		}
		switch order, uid, _ := strings.Cut(lines.Text(), " "); order {
		case orderPrepare:
			err = node.Prepare(ctx, types.UID(uid), "storage")
		case orderEnd:
			node.Unprepare(types.UID(uid))
			err = nil
		default:
			err = fmt.Errorf("unknown order %q", order)
		}
	}
}
