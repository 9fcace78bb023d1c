package kernel

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestIsDevice(t *testing.T) {
	for message, want := range map[string]bool{
		"add@/devices/pci0000:00/0000:01:10.0\x00ACTION=add\x00DEVPATH=/devices/x\x00SUBSYSTEM=pci\x00SEQNUM=7\x00": true,
		"unbind@/x\x00ACTION=unbind\x00SUBSYSTEM=pci\x00":                                                           true,
		"add@/x\x00SUBSYSTEM=infiniband\x00":                                                                        true,
		"add@/x\x00SUBSYSTEM=net\x00INTERFACE=eth0\x00":                                                             false,
		"add@/x\x00SUBSYSTEM=pci_express\x00":                                                                       false,
		"add@/x\x00DRIVER=SUBSYSTEM=pci\x00":                                                                        false,
		"":                                                                                                          false,
	} {
		if got := isDevice([]byte(message)); got != want {
			t.Errorf("%q: %v, want %v", message, got, want)
		}
	}
}

func TestDeviceChangesEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- DeviceChanges(ctx, func() {}) }()
	cancel()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("does not end with its context")
	}
}
