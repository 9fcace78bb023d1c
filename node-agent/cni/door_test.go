package cni_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

func (l *lab) open() bool {
	open, _ := l.Keeper().Health()
	return open
}

// TestOthersRewriteTheConfiguration: the plugin comes back into the chain, and while it is not there no pod is prepared.
func TestOthersRewriteTheConfiguration(t *testing.T) {
	l := newLab(t)
	path := filepath.Join(l.Dir, "net.d", "10-primary.conflist")
	with, err := os.ReadFile(path)
	l.must(err)

	l.must(os.WriteFile(path, with[:len(with)/2], 0o600))
	kerneltest.Eventually(t, "the door is closed while half a file is there", func() bool { return !l.open() })
	wantCode(t, statusOf(l), 50)
	l.must(os.WriteFile(path, []byte(`{"cniVersion":"1.1.0","name":"primary","plugins":[{"type":"bridge"}]}`), 0o600))
	kerneltest.Eventually(t, "the door is open again", l.open)
	if list := l.list(); len(list.Plugins) != 2 || list.Plugins[1].Network.Type != "multinet-cni" {
		t.Errorf("the chain is %s", list.Bytes)
	}
	l.must(os.Remove(path))
	kerneltest.Eventually(t, "the door is closed without a configuration", func() bool { return !l.open() })
	l.must(os.WriteFile(path, with, 0o600))
	kerneltest.Eventually(t, "the door is open at last", l.open)
}

// statusOf asks as the runtime would with the configuration that it has read before.
func statusOf(l *lab) error { return l.callPlugin("STATUS", `{"cniVersion":"1.1.0","name":"primary"`) }

func TestSocketIsRootsAlone(t *testing.T) {
	l := newLab(t)
	socket := l.Place().Stanza.Socket
	for path, want := range map[string]os.FileMode{socket: 0o600, filepath.Dir(socket): 0o700} {
		info, err := os.Stat(path)
		l.must(err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s is %o, want %o", path, got, want)
		}
	}
}

// TestSocketWithoutAnAnswer: an agent that dies in the middle of a call is one that is away.
func TestSocketWithoutAnAnswer(t *testing.T) {
	l := newLab(t)
	p := l.pod("a", "storage")
	l.must(l.Stop())
	l.must(os.RemoveAll(l.Place().Stanza.Socket))
	listener, err := net.Listen("unix", l.Place().Stanza.Socket)
	l.must(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = conn.Close() // as one that dies in the middle of a call
		}
	}()
	_, err = l.add(p)
	wantCode(t, err, 11)
	l.must(l.del(p))
	l.must(listener.Close())
	l.must(l.Start(l.ctx))
	_, err = l.add(p)
	l.must(err)
	l.must(l.del(p))
}
