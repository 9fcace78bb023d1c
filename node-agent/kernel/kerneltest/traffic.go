package kerneltest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/multinet-dev/multinet/node-agent/kernel"
)

// datagram is how many bytes a UDP flow sends at once: a packet of 1,442 bytes on the wire, with IPv4.
const datagram = 1400

// Flow is traffic from one namespace to another until the end of the test or Stop.
type Flow struct {
	received, sent atomic.Int64
	stop           func()
	// datagrams is what a UDP flow sends with.
	datagrams net.Conn
}

// Received is how many bytes have arrived, without headers; Sent how many were sent.
func (f *Flow) Received() int64 { return f.received.Load() }

// Sent is how many bytes the sender got rid of, whether they arrived or not.
func (f *Flow) Sent() int64 { return f.sent.Load() }

// Burst has a UDP flow send so many datagrams at once, beside what it sends anyway.
func (f *Flow) Burst(count int) error {
	for range count {
		n, err := f.datagrams.Write(make([]byte, datagram))
		if err != nil {
			return fmt.Errorf("send a datagram: %w", err)
		}
		f.sent.Add(int64(n))
	}
	return nil
}

// Stop ends the flow, and returns when nothing more is sent.
func (f *Flow) Stop() { f.stop() }

// TCP sends as fast as it can over so many connections.
func TCP(t testing.TB, from, to *kernel.Namespace, addr netip.Addr, connections int) *Flow {
	t.Helper()
	f := &Flow{}
	var listener net.Listener
	Inside(t, to, func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	})
	open := []io.Closer{listener}
	var running sync.WaitGroup
	for range connections {
		var out net.Conn
		// A link that has just come up may lose the first questions for a neighbour.
		Within(t, 20*time.Second, "a TCP connection", func() bool {
			return from.Do(func() (err error) {
				out, err = net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
				return err
			}) == nil
		})
		in, err := listener.Accept()
		must(t, "accept a connection", err)
		open = append(open, out, in)
		running.Go(func() { pump(out.Write, &f.sent, 64<<10) })
		running.Go(func() { pump(in.Read, &f.received, 256<<10) })
	}
	f.stopWith(t, &running, open...)
	return f
}

// UDP sends datagrams at a rate in bit/s, counted with the headers that they have on the wire.
func UDP(t testing.TB, from, to *kernel.Namespace, addr netip.Addr, rate int64) *Flow {
	t.Helper()
	f := &Flow{}
	var in, out net.Conn
	Inside(t, to, func() (err error) {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err == nil {
			err = conn.SetReadBuffer(4 << 20)
		}
		in = conn
		return err
	})
	Inside(t, from, func() (err error) { out, err = net.Dial("udp", in.LocalAddr().String()); return err })
	f.datagrams = out
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() { pace(out, &f.sent, rate, done) })
	running.Go(func() { pump(in.Read, &f.received, 1<<16) })
	f.stopWith(t, &running, closer(func() { close(done) }), out, in)
	return f
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (f *Flow) stopWith(t testing.TB, running *sync.WaitGroup, open ...io.Closer) {
	f.stop = sync.OnceFunc(func() {
		for _, o := range open {
			_ = o.Close()
		}
		running.Wait()
	})
	t.Cleanup(f.stop)
}

// pump reads or writes until an error, which is the end.
func pump(call func([]byte) (int, error), count *atomic.Int64, size int) {
	buffer := make([]byte, size)
	for {
		n, err := call(buffer)
		count.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// headers of a datagram on the wire: Ethernet, IPv4, UDP.
const headers = 14 + 20 + 8

// pace sends what is due, every millisecond.
func pace(out net.Conn, count *atomic.Int64, rate int64, done <-chan struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	payload := make([]byte, datagram)
	begin, packets := time.Now(), int64(0)
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		due := int64(time.Since(begin).Seconds()*float64(rate)) / ((datagram + headers) * 8)
		for ; packets < due; packets++ {
			// A full queue is told to the sender: the packet is lost, as on any router.
			if n, err := out.Write(payload); err == nil {
				count.Add(int64(n))
			}
		}
	}
}

// Rates are those of flows in bit/s on the wire with full frames, over a time that begins after the flows have had a time to settle.
func Rates(settle, during time.Duration, flows ...*Flow) []float64 {
	<-time.After(settle)
	before, begin := make([]int64, len(flows)), time.Now()
	for i, f := range flows {
		before[i] = f.Received()
	}
	<-time.After(during)
	took := time.Since(begin).Seconds()
	rates := make([]float64, len(flows))
	for i, f := range flows {
		rates[i] = float64(f.Received()-before[i]) * 8 / took
	}
	return rates
}

// Echo answers datagrams at an address of a namespace, until the end of the test.
func Echo(t testing.TB, ns *kernel.Namespace, addr netip.Addr) netip.AddrPort {
	t.Helper()
	var conn *net.UDPConn
	Inside(t, ns, func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// RoundTrip sends a datagram and waits for its echo.
func RoundTrip(from *kernel.Namespace, echo netip.AddrPort, limit time.Duration) (took time.Duration, err error) {
	var conn net.Conn
	err = from.Do(func() (err error) { conn, err = net.Dial("udp", echo.String()); return err })
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	return roundTrip(conn, limit)
}

func roundTrip(conn net.Conn, limit time.Duration) (time.Duration, error) {
	begin, payload := time.Now(), make([]byte, 64)
	if _, err := conn.Write(payload); err != nil {
		return 0, fmt.Errorf("send a datagram: %w", err)
	}
	if err := conn.SetReadDeadline(begin.Add(limit)); err != nil {
		return 0, err
	}
	if _, err := conn.Read(payload); err != nil {
		return 0, fmt.Errorf("its echo: %w", err)
	}
	return time.Since(begin), nil
}

// RoundTrips sends datagrams one after the other, at least a pause apart, and returns how long each took. One that is lost is an error.
func RoundTrips(from *kernel.Namespace, echo netip.AddrPort, count int, pause time.Duration) (took []time.Duration, err error) {
	var conn net.Conn
	err = from.Do(func() (err error) { conn, err = net.Dial("udp", echo.String()); return err })
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	tick := time.NewTicker(pause)
	defer tick.Stop()
	var lost error
	for range count {
		one, err := roundTrip(conn, 2*time.Second)
		took, lost = append(took, one), errors.Join(lost, err)
		<-tick.C
	}
	return took, lost
}
