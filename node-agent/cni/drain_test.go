package cni

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/testr"
	"google.golang.org/protobuf/proto"

	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
	"github.com/multinet-dev/multinet/node-agent/sandboxes"
)

// stopped records the sandboxes that are stopped; nothing else is asked of it.
type stopped struct {
	Sandboxes
	ids []string
}

func (s *stopped) Find(string) (sandboxes.Sandbox, bool) { return sandboxes.Sandbox{}, false }

func (s *stopped) StopSandbox(_ context.Context, sandbox sandboxes.Sandbox) {
	s.ids = append(s.ids, sandbox.ID)
}

// TestNotedAfterTheDoorHasChanged: a DEL finds no agent, and writes its note when the next one, which serves NRI, has started.
func TestNotedAfterTheDoorHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		s := &stopped{}
		go KeepDrained(ctx, testr.New(t), dir, s)
		time.Sleep(time.Second)

		content, err := proto.Marshal(&agentv1.DeleteRequest{Sandbox: &agentv1.Sandbox{Id: "box", Interface: "eth0"}})
		if err != nil {
			t.Fatal(err)
		}
		note, damaged, unfinished := filepath.Join(dir, "box@eth0"), filepath.Join(dir, "other@eth0"), filepath.Join(dir, ".unfinished-1")
		for path, content := range map[string][]byte{note: content, damaged: {0xff}, unfinished: content} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(lookEvery)
		synctest.Wait()
		cancel()
		synctest.Wait()
		if len(s.ids) != 1 || s.ids[0] != "box" {
			t.Errorf("sandboxes that were stopped: %q", s.ids)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != filepath.Base(unfinished) {
			t.Errorf("notes that are left: %v, %v", left, err)
		}
	})
}
