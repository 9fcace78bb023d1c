package kernel_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/multinet-dev/multinet/node-agent/kernel"
	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
)

// neighbour is a request about 10.0.x.y on a link.
func neighbour(kind uint16, index, i int) kernel.Message {
	body := make([]byte, 12, 32)
	body[0] = unix.AF_INET
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	binary.NativeEndian.PutUint16(body[8:], unix.NUD_PERMANENT)
	body = append(body, 8, 0, unix.NDA_DST, 0, 10, 0, byte(i>>8), byte(i))
	body = append(body, 10, 0, unix.NDA_LLADDR, 0, 2, 0, 0, 0, byte(i>>8), byte(i)) // 30 bytes, which the kernel has aligned
	if kind == unix.RTM_DELNEIGH {
		return kernel.Message{Type: kind, Body: body}
	}
	return kernel.Message{Type: kind, Flags: unix.NLM_F_CREATE | unix.NLM_F_EXCL, Body: body}
}

func countNeighbours(t *testing.T, ns *kernel.Namespace, index int) (n int) {
	t.Helper()
	request := make([]byte, 12, 20)
	request[0] = unix.AF_INET
	request = append(request, 8, 0, unix.NDA_IFINDEX, 0)
	request = binary.NativeEndian.AppendUint32(request, uint32(index))
	if err := ns.List(unix.RTM_GETNEIGH, request, func([]byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// Every message is carried out for itself, and every refusal is told with the message that it is about.
func TestBatch(t *testing.T) {
	kerneltest.RequireRoot(t, "netlink in network namespaces")
	ns := kerneltest.Namespace(t, "node")
	kerneltest.Cable(t, ns, "eth1", ns, "eth2")
	index, _, err := ns.Interface("eth1")
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ns.Interface("eth2")
	if err != nil {
		t.Fatal(err)
	}
	send := func(messages ...kernel.Message) []kernel.Refused {
		t.Helper()
		refused, err := ns.Batch(messages)
		if err != nil {
			t.Fatal(err)
		}
		return refused
	}
	var all []kernel.Message
	for i := range 1000 {
		all = append(all, neighbour(unix.RTM_NEWNEIGH, index, i))
	}
	if refused := send(all...); len(refused) > 0 {
		t.Errorf("refused %v", refused)
	}
	send(neighbour(unix.RTM_NEWNEIGH, other, 7))
	if n := countNeighbours(t, ns, index); n != 1000 {
		t.Errorf("%d neighbours are listed, want 1000", n)
	}
	if n := countNeighbours(t, ns, other); n != 1 {
		t.Errorf("%d neighbours of the other link are listed, want 1", n)
	}
	// All are there already, so that each answer of a whole batch is an error.
	if refused := send(all...); len(refused) != 1000 || refused[999].Index != 999 || !errors.Is(refused[999].Err, unix.EEXIST) {
		t.Errorf("%d refused, want 1000", len(refused))
	}
	mixed := append([]kernel.Message{neighbour(unix.RTM_DELNEIGH, index, 5), neighbour(unix.RTM_DELNEIGH, index, 5)}, neighbour(unix.RTM_NEWNEIGH, index, 5))
	if refused := send(mixed...); len(refused) != 1 || refused[0].Index != 1 || !errors.Is(refused[0].Err, unix.ENOENT) {
		t.Errorf("refused %v, want the second", refused)
	}
	if refused := send(); refused != nil {
		t.Errorf("nothing was refused: %v", refused)
	}
}

func TestList(t *testing.T) {
	kerneltest.RequireRoot(t, "netlink in network namespaces")
	ns := kerneltest.Namespace(t, "node")
	strange := make([]byte, 12)
	strange[0], strange[10] = unix.AF_INET, 0xff
	if err := ns.List(unix.RTM_GETNEIGH, strange, func([]byte) error { return nil }); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a request with a field that the kernel does not filter by: %v", err)
	}
	boom := errors.New("boom")
	links := make([]byte, 16)
	if err := ns.List(unix.RTM_GETLINK, links, func([]byte) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error %v of the caller", err)
	}
	names := 0
	if err := ns.List(unix.RTM_GETLINK, links, func([]byte) error { names++; return nil }); err != nil || names < 1 {
		t.Errorf("%d links, %v", names, err)
	}
}
