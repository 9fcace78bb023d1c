package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen has take called with the first connection, which is closed after it.
func listen(t *testing.T, take func(net.Conn)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		if conn, err := listener.Accept(); err == nil {
			take(conn)
			_ = conn.Close()
		}
	}()
	return path
}

func connect(t *testing.T, path string, limit time.Duration) *socket {
	t.Helper()
	s, err := dial(path, 10_000, limit.Milliseconds())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSocketCarriesBothWays(t *testing.T) {
	s := connect(t, listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) }), time.Minute)
	text := strings.Repeat("0123456789", 10000)
	go func() { _, _ = s.Write([]byte(text)) }()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestSocketHasDeadlines(t *testing.T) {
	s := connect(t, listen(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), 40*time.Millisecond)
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, errTooLate) {
		t.Errorf("reading ends with %v", err)
	}
	if _, err := s.Write(make([]byte, 1)); !errors.Is(err, errTooLate) {
		t.Errorf("writing after it ends with %v", err)
	}
}

func TestSocketIsAbsentOrClosed(t *testing.T) {
	if _, err := dial(filepath.Join(t.TempDir(), "none"), 1000, 1000); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	s := connect(t, listen(t, func(net.Conn) {}), time.Minute)
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("reading ends with %v", err)
	}
}
