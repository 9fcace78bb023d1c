package cni_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// call is one run of the plugin by itself, without libcni between.
type call struct {
	env    map[string]string
	config string // without the keys of the stanza and the last brace
}

// outcome of a run.
type outcome struct {
	status int
	stdout []byte
	stderr string
}

// failure is nil where the plugin has succeeded, and an error of CNI where it has not.
func (o outcome) failure() error {
	if o.status == 0 {
		return nil
	}
	var cni types.Error
	if err := json.Unmarshal(o.stdout, &cni); err != nil {
		return fmt.Errorf("exit status %d, and no error of CNI on standard output: %q", o.status, o.stdout)
	}
	return &cni
}

// run starts the plugin on the node with the variables alone that it is given.
func (l *lab) run(c call) (o outcome) {
	l.t.Helper()
	stanza := l.Place().Stanza
	config := fmt.Sprintf(`%s,"type":"multinet-cni","socket":%q,"selectedDir":%q,"deletedDir":%q}`, c.config, stanza.Socket, stanza.Selected, stanza.Deleted)
	bin, err := programs.Dir()
	l.must(err)
	cmd := exec.CommandContext(l.t.Context(), filepath.Join(bin, "multinet-cni"))
	cmd.Env = []string{"GOMAXPROCS=2"}
	for key, value := range c.env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Stdin = strings.NewReader(config)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = l.inNode(cmd.Run)
	if cmd.ProcessState == nil {
		l.t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.Bytes(), stderr.String()}
}

func (l *lab) callPlugin(command, config string) error {
	l.t.Helper()
	return l.run(call{env: map[string]string{"CNI_COMMAND": command}, config: config}).failure()
}
