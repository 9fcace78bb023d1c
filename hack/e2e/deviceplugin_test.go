//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/multinet-dev/multinet/apis/netattach"
	"github.com/multinet-dev/multinet/apis/netstatus"
	"github.com/multinet-dev/multinet/apis/npwg"
	"github.com/multinet-dev/multinet/apis/v1alpha1"
)

const nicResource = "e2e.example.com/nic"

const nicManifest = `apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata:
  name: nic
  annotations: {k8s.v1.cni.cncf.io/resourceName: ` + nicResource + `}
spec:
  config: '{"cniVersion": "1.0.0", "type": "e2e-record", "capabilities": {"deviceID": true}}'
`

// recordPlugin writes what it is told into a file for each pod, interface and verb, and makes no interface.
const recordPlugin = `#!/bin/sh
if [ "$CNI_COMMAND" = VERSION ]; then echo '{"cniVersion": "1.0.0", "supportedVersions": ["1.0.0"]}'; exit; fi
pod=$(echo "$CNI_ARGS" | tr ';' '\n' | sed -n 's/^K8S_POD_NAME=//p')
mkdir -p /run/e2e-record
cat >"/run/e2e-record/$pod.$CNI_IFNAME.$CNI_COMMAND"
if [ "$CNI_COMMAND" = ADD ]; then echo '{"cniVersion": "1.0.0"}'; fi
`

// TestDeviceOfADevicePlugin: pods of Multus, whose containers request devices of a device plugin, get them on the interfaces that need
// one, each its own, and CNI plugins are told which, also by the next agent. A pod that requests none does not start, and is told why.
func TestDeviceOfADevicePlugin(t *testing.T) {
	s := newScene(t, nodeA)
	s.adoptDefinitions()
	s.startDevicePlugin(nodeA, "0000:7f:00.1,0000:7f:00.2,0000:7f:00.3")
	s.putProgram(nodeA, "/opt/cni/bin/e2e-record", []byte(recordPlugin))
	s.allowPlugins()
	out, err := s.Kubectl(s.ctx, strings.NewReader(nicManifest), "apply", "-n", s.namespace, "-f", "-")
	if err != nil {
		t.Fatalf("applying the definition: %v: %s", err, out)
	}
	s.waitPlugins(netattach.NetworkName(s.namespace, "nic"))
	requests := map[string]int64{"one": 1, "two": 2, "none": 0}
	for name, n := range requests {
		pod := s.pod(name, nodeA, "")
		pod.Annotations = map[string]string{npwg.AnnotationNetworks: map[bool]string{true: "nic, nic", false: "nic"}[name == "two"]}
		if n > 0 {
			pod.Spec.Containers[0].Resources.Limits = corev1.ResourceList{nicResource: *resource.NewQuantity(n, resource.DecimalSI)}
		}
		s.must(s.Create(s.ctx, pod))
	}
	s.waitReady(2*time.Minute, "one", "two")
	message := s.waitCondition("none", v1alpha1.PodConditionPlanned, corev1.ConditionFalse, v1alpha1.ReasonDeviceNotRequested)
	if !strings.Contains(message, fmt.Sprintf("resources.limits[%q]: 1", nicResource)) {
		t.Error(message)
	}
	used := map[string]string{}
	for _, at := range []string{"one.net1", "two.net1", "two.net2"} {
		pod, iface, _ := strings.Cut(at, ".")
		id := s.deviceOf(pod, iface)
		if other := used[id]; other != "" {
			t.Errorf("%s and %s have %s", other, at, id)
		}
		used[id] = at
		s.recorded(at+".ADD", id)
	}
	s.killAgent(nodeA)
	s.remove(false, "one", "two", "none")
	s.waitGone(time.Minute, "one", "two", "none")
	for id, at := range used {
		s.until(time.Minute, "DEL of "+at, func(ctx context.Context) error {
			_, err := s.OnNode(ctx, nodeA, "test", "-s", "/run/e2e-record/"+at+".DEL")
			return err
		})
		s.recorded(at+".DEL", id)
	}
}

// deviceOf is the device of an interface, as the attachment and network-status tell it.
func (s *scene) deviceOf(name, iface string) string {
	s.t.Helper()
	status := s.attachments(name)[iface].Status
	pod, err := s.get(s.ctx, name)
	s.must(err)
	list, err := netstatus.Decode(pod.Annotations[v1alpha1.AnnotationNetworkStatus])
	s.must(err)
	if status.Device == nil || status.Device.ResourceName != nicResource || status.Device.DeviceID == "" || status.Device.DeviceID != status.Device.PCIAddress {
		s.t.Fatalf("%s of %s: %+v", iface, name, status.Device)
	}
	for _, element := range list {
		if element.Interface == iface && (element.DeviceInfo == nil || element.DeviceInfo.PCI == nil || element.DeviceInfo.PCI.Address != status.Device.DeviceID) {
			s.t.Errorf("network-status of %s: %s", name, pod.Annotations[v1alpha1.AnnotationNetworkStatus])
		}
	}
	return status.Device.DeviceID
}

// recorded fails where the plugin was not told of the device.
func (s *scene) recorded(file, id string) {
	s.t.Helper()
	out, err := s.OnNode(s.ctx, nodeA, "cat", "/run/e2e-record/"+file)
	if err != nil || !strings.Contains(out, `"deviceID":"`+id+`"`) || !strings.Contains(out, `"runtimeConfig":{"deviceID":"`+id+`"}`) {
		s.t.Errorf("%s: want %s: %v: %s", file, id, err, out)
	}
}

// startDevicePlugin runs a device plugin on a node, for the time of the test.
func (s *scene) startDevicePlugin(node, devices string) {
	s.t.Helper()
	const program, pidFile = "/usr/local/bin/e2e-deviceplugin", "/run/e2e-deviceplugin.pid"
	binary := filepath.Join(s.t.TempDir(), "deviceplugin")
	s.must(buildProgram(s.t.Context(), "./deviceplugin", binary))
	content, err := os.ReadFile(binary)
	s.must(err)
	s.putProgram(node, program, content)
	_, err = s.Detached(s.ctx, node, "sh", "-c", fmt.Sprintf("echo $$ >%s; exec %s --resource=%s --devices=%s", pidFile, program, nicResource, devices))
	s.must(err)
	s.t.Cleanup(func() {
		if _, err := s.OnNode(s.ctx, node, "sh", "-c", "kill $(cat "+pidFile+"); rm -rf /run/e2e-record"); err != nil {
			s.t.Error(err)
		}
	})
}

// putProgram writes a program on a node, for the time of the test.
func (s *scene) putProgram(node, path string, content []byte) {
	s.t.Helper()
	put := s.Command(s.ctx, node, "sh", "-c", "cat >"+path+" && chmod 755 "+path)
	put.Stdin = bytes.NewReader(content)
	if out, err := put.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v: %s", path, err, out)
	}
	s.t.Cleanup(func() {
		if _, err := s.OnNode(s.ctx, node, "rm", path); err != nil {
			s.t.Error(err)
		}
	})
}
