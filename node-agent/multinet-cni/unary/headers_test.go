package unary

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

// library decodes or encodes as the servers that we speak to do: without a table.
func library(t *testing.T, block []byte) (list [][2]string, err error) {
	t.Helper()
	decoder := hpack.NewDecoder(0, func(f hpack.HeaderField) { list = append(list, [2]string{f.Name, f.Value}) })
	if _, err := decoder.Write(block); err != nil {
		return nil, err
	}
	return list, decoder.Close()
}

func TestAppendField(t *testing.T) {
	want := [][2]string{{":method", "POST"}, {"empty", ""}, {"long", strings.Repeat("x", 127)}, {"longer", strings.Repeat("y", 40000)}}
	var block []byte
	for _, f := range want {
		block = appendField(block, f[0], f[1])
	}
	got, err := library(t, block)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// encoded is what the library makes of fields for a peer that allows no table.
func encoded(list [][2]string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	encoder.SetMaxDynamicTableSize(0)
	for _, f := range list {
		_ = encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // a buffer takes everything
	}
	return block.Bytes()
}

func TestFields(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	list := [][2]string{{":status", "200"}, {":status", "404"}, {":status", "418"}, {"grpc-status", "14"}, {"grpc-message", "sandbox %C3%BC"},
		{"grpc-message", string(all)}, {"x", strings.Repeat("0", 3000)}}
	var got [][2]string
	if err := fields(encoded(list), func(name, value string) { got = append(got, [2]string{name, value}) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzFields: what the library takes is taken alike, where it keeps to the settings, and nothing crashes.
func FuzzFields(f *testing.F) {
	f.Add(encoded([][2]string{{":status", "200"}, {"content-type", "application/grpc"}, {"grpc-status", "0"}, {"grpc-message", "ü%"}}))
	f.Add([]byte{0x20, 0x88, 0x40, 0x01, 'a', 0x01, 'b', 0x10, 0x81, 0x1f, 0x00})
	f.Add([]byte{0x0f, 0x00, 0x00})
	f.Add([]byte{0x00, 0x82, 0xff, 0xff, 0x00})
	f.Fuzz(func(t *testing.T, block []byte) {
		var got [][2]string
		err := fields(block, func(name, value string) { got = append(got, [2]string{name, value}) })
		want, wantErr := library(t, block)
		if wantErr != nil {
			return // it knows more rules, as where a size may be told
		}
		if err != nil {
			t.Fatalf("%x: %v", block, err)
		}
		for i := range want {
			if got[i][0] == "" && !strings.HasPrefix(want[i][0], "grpc-") { // a name of the static table
				got[i][0] = want[i][0]
				if got[i][1] == "" {
					got[i][1] = want[i][1]
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%x: %s", block, diff)
		}
	})
}
