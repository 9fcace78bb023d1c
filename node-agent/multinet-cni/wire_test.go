package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	agentv1 "github.com/multinet-dev/multinet/apis/agent/v1"
)

// TestRequestsAreThoseOfTheContract compares what is written by hand with the generated code.
func TestRequestsAreThoseOfTheContract(t *testing.T) {
	s := sandbox{"id", "/netns", "eth0", "primary", "ns", "name", "uid"}
	whole := &agentv1.Sandbox{Id: "id", Netns: "/netns", Interface: "eth0", Network: "primary", PodNamespace: "ns", PodName: "name", PodUid: "uid"}
	for name, test := range map[string]struct {
		wire      []byte
		got, want proto.Message
	}{
		"add":              {addRequest(&s, []string{"10.0.0.1", "fd00::1"}), &agentv1.AddRequest{}, &agentv1.AddRequest{Sandbox: whole, Ips: []string{"10.0.0.1", "fd00::1"}}},
		"delete":           {aboutSandbox(&s), &agentv1.DeleteRequest{}, &agentv1.DeleteRequest{Sandbox: whole}},
		"check":            {aboutSandbox(&s), &agentv1.CheckRequest{}, &agentv1.CheckRequest{Sandbox: whole}},
		"with empty texts": {aboutSandbox(&sandbox{id: "id"}), &agentv1.CheckRequest{}, &agentv1.CheckRequest{Sandbox: &agentv1.Sandbox{Id: "id"}}},
		"collect": {collectRequest("primary", []attachment{{"a", "eth0"}, {"b", "eth1"}}), &agentv1.CollectRequest{},
			&agentv1.CollectRequest{Network: "primary", Valid: []*agentv1.Valid{{Id: "a", Interface: "eth0"}, {Id: "b", Interface: "eth1"}}}},
		"collect all": {collectRequest("primary", nil), &agentv1.CollectRequest{}, &agentv1.CollectRequest{Network: "primary"}},
		"status":      {nil, &agentv1.StatusRequest{}, &agentv1.StatusRequest{}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := proto.Unmarshal(test.wire, test.got); err != nil {
				t.Fatal(err)
			}
			// Fields that the contract does not have would differ as well.
			if diff := cmp.Diff(test.want, test.got, protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRefusal reads all answers by one function, so all must have their failure in one place.
func TestRefusal(t *testing.T) {
	f := &agentv1.Failure{Code: 101, Message: "short", Details: "long"}
	for name, test := range map[string]struct{ refused, fine proto.Message }{
		"add":     {&agentv1.AddResponse{Failure: f}, &agentv1.AddResponse{}},
		"delete":  {&agentv1.DeleteResponse{Failure: f}, &agentv1.DeleteResponse{}},
		"check":   {&agentv1.CheckResponse{Failure: f}, &agentv1.CheckResponse{}},
		"collect": {&agentv1.CollectResponse{Failure: f}, &agentv1.CollectResponse{}},
		"status":  {&agentv1.StatusResponse{Failure: f}, &agentv1.StatusResponse{}},
	} {
		t.Run(name, func(t *testing.T) {
			wire, err := proto.Marshal(test.refused)
			if err != nil {
				t.Fatal(err)
			}
			// A field that a newer agent sends.
			wire = append(appendText(nil, 9, "later"), wire...)
			got, err := refusal(wire)
			if err != nil || got == nil || *got != (failure{101, "short", "long"}) {
				t.Errorf("got %+v, %v", got, err)
			}
			if wire, err = proto.Marshal(test.fine); err != nil {
				t.Fatal(err)
			}
			if got, err := refusal(wire); err != nil || got != nil {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// FuzzRefusal: no bytes crash it, and it refuses nothing that an agent sends.
func FuzzRefusal(f *testing.F) {
	for _, answer := range []proto.Message{&agentv1.AddResponse{Failure: &agentv1.Failure{Code: 11, Message: "m", Details: "d"}}, &agentv1.AddResponse{}} {
		wire, err := proto.Marshal(answer)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(wire)
	}
	f.Add([]byte{0x0d, 1, 2, 3, 4})
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		got, err := refusal(wire)
		var want agentv1.AddResponse
		if proto.Unmarshal(wire, &want) != nil {
			return
		}
		// Only what the library writes alike: an agent sends no message twice.
		if again, _ := proto.Marshal(&want); string(again) == string(wire) && (err != nil || (got != nil) != (want.Failure != nil)) {
			t.Errorf("%x: got %+v, %v, want %v", wire, got, err, want.Failure)
		}
	})
}
