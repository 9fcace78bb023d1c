package main

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

// The packages that text.go stands in for say what is right.

func FuzzCut(f *testing.F) {
	f.Add("K8S_POD_NAME=a=b", byte('='))
	f.Add("none", byte('='))
	f.Fuzz(func(t *testing.T, text string, separator byte) {
		before, after, found := cut(text, separator)
		wantBefore, wantAfter, wantFound := strings.Cut(text, string([]byte{separator}))
		if before != wantBefore || after != wantAfter || found != wantFound {
			t.Errorf("cut(%q, %q) is %q, %q, %v", text, separator, before, after, found)
		}
	})
}

func FuzzUvarint(f *testing.F) {
	for _, number := range []uint64{0, 127, 128, 300, math.MaxUint64} {
		f.Add(binary.AppendUvarint(nil, number))
	}
	f.Add(slices.Repeat([]byte{0xff}, 11))
	f.Add([]byte{0x80})
	f.Fuzz(func(t *testing.T, from []byte) {
		number, n := uvarint(from)
		if want, size := binary.Uvarint(from); n != max(size, 0) || n > 0 && number != want {
			t.Errorf("uvarint(%x) is %d from %d bytes, want %d from %d", from, number, n, want, size)
		}
		if got, want := appendUvarint(nil, number), binary.AppendUvarint(nil, number); !slices.Equal(got, want) {
			t.Errorf("appendUvarint(%d) is %x, want %x", number, got, want)
		}
	})
}

func TestListed(t *testing.T) {
	for _, list := range [][]string{nil, {"a"}, {"a", "b", "c"}} {
		if got, want := listed(list), strings.Join(list, ", "); got != want {
			t.Errorf("listed(%q) is %q", list, got)
		}
	}
}

func TestParentOf(t *testing.T) {
	for path, want := range map[string]string{"/a/b": "/a", "/a": "", "/": "", "a": "", "": "", "a/b/c": "a/b"} {
		if got := parentOf(path); got != want {
			t.Errorf("parentOf(%q) is %q, want %q", path, got, want)
		}
	}
}
