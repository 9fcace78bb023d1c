package qos

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/multinet-dev/multinet/node-agent/kernel/kerneltest"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// skb is the head of struct __sk_buff that a test run takes and gives back.
type skb struct {
	_        [2]uint32
	Mark     uint32
	_        [5]uint32
	Priority uint32
	_        [39]uint32
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runProgram runs a program on a frame, and returns its verdict, the frame, and what became of mark and priority.
func runProgram(t *testing.T, program *ebpf.Program, frame []byte, mark, priority uint32) (verdict int32, out []byte, after skb) {
	t.Helper()
	before := skb{Mark: mark, Priority: priority}
	out = make([]byte, len(frame)+64)
	options := &ebpf.RunOptions{Data: frame, DataOut: out, Context: before, ContextOut: &after}
	code, err := program.Run(options)
	must(t, err)
	return int32(code), options.DataOut, after
}

// newFrame is an Ethernet frame of 64 bytes.
func newFrame(destination, source mac, kind uint16, payload ...byte) []byte {
	frame := make([]byte, 64)
	copy(frame, destination[:6])
	copy(frame[6:], source[:6])
	binary.BigEndian.PutUint16(frame[12:], kind)
	copy(frame[14:], payload)
	return frame
}

var (
	gold, silver, stranger, nodeMAC = mac{2, 0, 0, 0, 0, 1}, mac{2, 0, 0, 0, 0, 2}, mac{2, 0, 0, 0, 0, 3}, mac{2, 0, 0, 0, 0, 0xee}
	everybody                       = mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

func TestClassifier(t *testing.T) {
	kerneltest.RequireRoot(t, "eBPF programs")
	places, err := newPlaces("test")
	must(t, err)
	defer places.Close()
	must(t, places.Put(gold, place{Priority: handle(0x10), Token: 77}))
	must(t, places.Put(nodeMAC, place{Priority: handle(minorNode)}))
	group, other := handle(minorGroup), handle(minorDefault)
	egress, err := classifier{name: "egress", at: frameSource, places: places, group: group, other: other}.load()
	must(t, err)
	defer egress.Close()
	ingress, err := classifier{name: "ingress", at: frameDestination, places: places, group: group, other: other, keepMark: true}.load()
	must(t, err)
	defer ingress.Close()
	for name, c := range map[string]struct {
		program     *ebpf.Program
		destination mac
		source      mac
		mark        uint32
		priority    uint32
		want        uint32
		wantMark    uint32
	}{
		"its class":                         {egress, stranger, gold, 77, 0, handle(0x10), 0},
		"its class, to all":                 {egress, everybody, gold, 77, 0, handle(0x10), 0},
		"its MAC without the token":         {egress, stranger, gold, 0, handle(0x10), other, 0},
		"its MAC with another token":        {egress, stranger, gold, 78, handle(0x10), other, 0},
		"a stranger":                        {egress, gold, stranger, 0, 0, other, 0},
		"a stranger with a class":           {egress, gold, stranger, 77, handle(0x10), other, 0},
		"a stranger that names the root":    {egress, gold, stranger, 0, handle(0), other, 0},
		"a stranger to all":                 {egress, everybody, stranger, 0, handle(0x10), group, 0},
		"the node":                          {egress, gold, nodeMAC, 5, 6, handle(minorNode), 0},
		"to a pod, which is to have a mark": {ingress, gold, stranger, 77, 0, handle(0x10), 77},
		"to the node":                       {ingress, nodeMAC, gold, 3, 4, handle(minorNode), 3},
		"to all":                            {ingress, everybody, gold, 0, 0, group, 0},
		"to somebody else":                  {ingress, silver, gold, 0, handle(0x10), other, 0},
	} {
		t.Run(name, func(t *testing.T) {
			verdict, _, after := runProgram(t, c.program, newFrame(c.destination, c.source, 0x0800), c.mark, c.priority)
			if verdict != verdictNext || after.Priority != c.want || after.Mark != c.wantMark {
				t.Errorf("verdict %d priority %x mark %d, want next, %x and %d", verdict, after.Priority, after.Mark, c.want, c.wantMark)
			}
		})
	}
}

// guarded loads the guard of gold with an entry for it, and one for silver on the same segment.
func guarded(t *testing.T, entry guard) *ebpf.Program {
	kerneltest.RequireRoot(t, "eBPF programs")
	guards, err := newGuards("test")
	must(t, err)
	entry.Segment = 5
	must(t, guards.Put(gold, entry))
	must(t, guards.Put(silver, guard{Segment: 5}))
	must(t, guards.Put(nodeMAC, guard{Segment: 6}))
	program, err := loadGuard(gold, guards)
	must(t, err)
	t.Cleanup(func() { _ = program.Close(); _ = guards.Close() })
	return program
}

func TestGuardSource(t *testing.T) {
	program := guarded(t, guard{Token: 77})
	for name, c := range map[string]struct {
		source   mac
		verdict  int32
		wantMark uint32
	}{
		"its own":          {gold, verdictNext, 77},
		"a neighbour's":    {silver, verdictDrop, 9},
		"one byte differs": {mac{2, 0, 0, 0, 1, 1}, verdictDrop, 9},
		"the last differs": {mac{2, 0, 0, 0, 0, 0x81}, verdictDrop, 9},
	} {
		verdict, _, after := runProgram(t, program, newFrame(stranger, c.source, 0x0800), 9, handle(0x10))
		if verdict != c.verdict || after.Mark != c.wantMark {
			t.Errorf("%s: verdict %d mark %d, want %d and %d", name, verdict, after.Mark, c.verdict, c.wantMark)
		}
	}
}

// checksum4 is that of an IPv4 header.
func checksum4(header []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func ipv4(tos byte) []byte {
	header := []byte{0x45, tos, 0, 50, 1, 2, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	binary.BigEndian.PutUint16(header[10:], checksum4(header))
	return header
}

func TestGuardDSCP(t *testing.T) {
	const af41 = 34
	program := guarded(t, guard{DSCP: af41 + 1})
	ipv6 := []byte{0x60, 0x21, 0x23, 0x45, 0, 10, 17, 64}
	for name, c := range map[string]struct {
		kind          uint16
		payload, want []byte
	}{
		"IPv4":                {0x0800, ipv4(0), ipv4(af41 << 2)},
		"IPv4 with ECN":       {0x0800, ipv4(46<<2 | 2), ipv4(af41<<2 | 2)},
		"IPv4 that has it":    {0x0800, ipv4(af41 << 2), ipv4(af41 << 2)},
		"IPv6 keeps the rest": {0x86dd, ipv6, []byte{0x68, 0xa1, 0x23, 0x45, 0, 10, 17, 64}},
		"ARP is left":         {0x0806, []byte{0, 1, 8, 0}, []byte{0, 1, 8, 0}},
	} {
		verdict, out, _ := runProgram(t, program, newFrame(stranger, gold, c.kind, c.payload...), 0, 0)
		if diff := cmp.Diff(newFrame(stranger, gold, c.kind, c.want...), out); diff != "" || verdict != verdictNext {
			t.Errorf("%s: verdict %d (-want +got)\n%s", name, verdict, diff)
		}
	}
	for dscp := range uint32(64) {
		_, out, _ := runProgram(t, guarded(t, guard{DSCP: dscp + 1}), newFrame(stranger, gold, 0x0800, ipv4(1)...), 0, 0)
		if diff := cmp.Diff(ipv4(byte(dscp<<2|1)), out[14:34]); diff != "" {
			t.Errorf("DSCP %d (-want +got)\n%s", dscp, diff)
		}
	}
}

// TestGuardLimit: what goes to a pod of the segment is limited, what goes elsewhere is the uplink's to limit.
func TestGuardLimit(t *testing.T) {
	var entry guard
	entry.setLimit(8*kbit, 4096, 0) // 1 kB/s, 16 KiB at once: 16 s long
	for name, c := range map[string]struct {
		destination mac
		passed      int
	}{
		"to a pod of the segment": {silver, 256},
		"to all":                  {everybody, 256},
		"to another segment":      {nodeMAC, 400},
		"to nobody that we know":  {stranger, 400},
	} {
		t.Run(name, func(t *testing.T) {
			program, frame, passed := guarded(t, entry), newFrame(c.destination, gold, 0x0800), 0
			for range 400 {
				switch verdict, _, _ := runProgram(t, program, frame, 0, 0); verdict {
				case verdictNext:
					passed++
				case verdictRedirect:
				default:
					t.Fatalf("verdict %d", verdict)
				}
			}
			// A packet begins while there is time left, and some time passes meanwhile.
			if passed < c.passed || passed > c.passed+30 {
				t.Errorf("%d of 400 packets of 64 bytes passed, want %d", passed, c.passed)
			}
		})
	}
}

func TestGuardCost(t *testing.T) {
	for name, c := range map[string]struct {
		rate uint64
		// long is how many ns 64 KiB take.
		long uint64
	}{
		"1 Mbit/s":   {mbit, 524_288_000},
		"100 Mbit/s": {100 * mbit, 5_242_880},
		"100 Gbit/s": {100 * gbit, 5_242},
	} {
		var entry guard
		entry.setLimit(c.rate, wholeGSO, 0)
		if got := entry.Cost * wholeGSO >> costShift; got < c.long-1 || got > c.long+1 {
			t.Errorf("%s: 64 KiB take %d ns, want %d", name, got, c.long)
		}
		if entry.Depth < 2*c.long-2 {
			t.Errorf("%s: %d ns at once are less than two packets", name, entry.Depth)
		}
	}
}

// A program that a former agent has put on a link is exchanged in its place, where it is another one.
func TestProgramOfAFormerAgent(t *testing.T) {
	w := newWorld(t, 100*mbit)
	p := w.pod(1, both("slow", plan.Bandwidth{Maximum: 20 * mbit}))
	name := pinName(w.index("eth1"), ingress)
	found, _, err := w.manager.pins.attached(linksDir, name)
	must(t, err)
	defer found.Close()
	places, err := w.manager.pins.table(linksDir, placesPin(name), newPlaces)
	must(t, err)
	defer places.Close()
	former, err := classifier{name: "multinet_former", places: places}.load()
	must(t, err)
	defer former.Close()
	must(t, found.Update(former))
	w.manager = w.newManager()
	for range 2 {
		w.apply()
		if now, err := runs(found, "multinet_input"); !now || err != nil {
			t.Errorf("the former program is still there: %v", err)
		}
	}
	w.wantMissing(p.Attachment, "")
}
