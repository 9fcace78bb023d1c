package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A pipe that its maker has set not to block is waited for all the same.
func TestDescriptorWaits(t *testing.T) {
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 200_000) // more than a pipe holds
	written := make(chan error, 1)
	time.AfterFunc(20*time.Millisecond, func() {
		_, err := descriptor(ends[1]).Write([]byte(text))
		written <- err
		_ = syscall.Close(ends[1])
	})
	got, err := readAll(descriptor(ends[0]), maxConfig)
	if err != nil || got != text {
		t.Errorf("%d bytes are read, %v", len(got), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	_ = syscall.Close(ends[0])
}

// The folder of notes may be missing with those above it, and what is there is replaced.
func TestNote(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b", "deleted")
	for _, text := range []string{"one", "another"} {
		if err := note(dir, "box@eth0", []byte(text)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "box@eth0"))
		if err != nil || string(got) != text {
			t.Errorf("the note is %q, %v", got, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
	if err := note(filepath.Join(dir, "box@eth0"), "x", nil); err == nil {
		t.Error("a file is taken for a folder")
	}
}
