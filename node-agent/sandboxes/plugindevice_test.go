package sandboxes

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/node-agent/plan"
)

// podDevices are what the kubelet has given to the pod, by resource.
type podDevices struct{ w *world }

func (d podDevices) IDs(_ context.Context, pod plan.Pod, resource string) ([]string, error) {
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	if pod.Namespace != request.Namespace || pod.Name != request.PodName || pod.UID != request.PodUID {
		return nil, errors.New("asked for another pod")
	}
	return d.w.given[resource], d.w.givenError
}

// prepareDevice prepares the pod's interface net2 of plugins that need its second device of intel.com/nic.
func prepareDevice(t *testing.T, w *world) error {
	w.keeper.Synchronize(nil)
	lan := attachmentOrder()
	index := int32(1)
	lan.Name, lan.UID, lan.Spec.NetworkName, lan.Spec.Interface = "b", "order-b", "lan", "net2"
	lan.Spec.PodClaimName, lan.Spec.Type, lan.Spec.Macvlan, lan.Spec.Addresses, lan.Spec.MAC = "multinet-lan-0", v1alpha1.NetworkTypeCNI, nil, nil, ""
	lan.Spec.CNI, lan.Spec.ResourceIndex = &v1alpha1.CNISpec{Config: `{"name": "lan", "type": "host-device"}`, ResourceName: "intel.com/nic"}, &index
	w.order(lan)
	r := request
	r.PodClaimName, r.Network, r.Claim.Device = "multinet-lan-0", "lan", v1alpha1.CNIDeviceName
	return w.keeper.Prepare(t.Context(), r)
}

// TestDeviceOfTheKubelet: the plan has it, so that the hook of the next agent asks nobody.
func TestDeviceOfTheKubelet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.given = map[string][]string{"intel.com/nic": {"0000:3b:00.1", "0000:3b:00.2"}}
		if err := prepareDevice(t, w); err != nil {
			t.Fatal(err)
		}
		recorded := w.recorded(request.PodUID)
		want := plan.PluginDevice{Resource: "intel.com/nic", Index: 1, ID: "0000:3b:00.2"}
		if len(recorded) != 1 || recorded[0].CNI.Device == nil || *recorded[0].CNI.Device != want || recorded[0].Device.PCIAddress != "0000:3b:00.2" {
			t.Fatalf("the ledger has %+v", recorded)
		}
		next := newWorld(t, plan.Pod{Namespace: request.Namespace, Name: request.PodName, UID: request.PodUID, Attachments: recorded})
		next.orders, next.givenError = w.orders, errors.New("the kubelet is away")
		next.keeper.Synchronize(nil)
		next.namespace(box.NetNS)
		s := box
		s.Selection = "lan@net2"
		if err := next.keeper.RunSandbox(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		last := next.reports[len(next.reports)-1]
		if len(last.Interfaces) != 1 || *last.Interfaces[0].Plan.CNI.Device != want {
			t.Errorf("told %+v", last)
		}
	})
}

// A pod without the device does not start, and is told why.
func TestNoDeviceOfTheKubelet(t *testing.T) {
	for want, change := range map[string]func(*world){
		`network "lan" interface net2: ask the kubelet for the pod's device: it is interface 2 of the pod that needs a device of intel.com/nic, and the kubelet has given 1 to the pod's containers: create the pod again with resources.limits["intel.com/nic"]: 2 in one of its containers`: func(w *world) {
			w.given = map[string][]string{"intel.com/nic": {"0000:3b:00.1"}, "other.com/nic": {"a", "b"}}
		},
		`network "lan" interface net2: ask the kubelet for the pod's device: the kubelet is away`: func(w *world) { w.givenError = errors.New("the kubelet is away") },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			change(w)
			if err := prepareDevice(t, w); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			synctest.Wait()
			if got := w.recorded(request.PodUID); len(got) > 0 {
				t.Errorf("planned %+v", got)
			}
			if len(w.reports) == 0 || !strings.Contains(w.reports[len(w.reports)-1].Trouble, want) {
				t.Errorf("told %+v", w.reports)
			}
			w.namespace(box.NetNS)
			s := box
			s.Selection = "lan@net2"
			if err := w.keeper.RunSandbox(t.Context(), s); err == nil || w.plugins.list() != "" {
				t.Errorf("it started: %v", err)
			}
		})
	}
}

// The file of device-info of an interface of plugins goes with the sandbox, that of the device plugin stays.
func TestDeviceInfoOfPlugins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.given = map[string][]string{"intel.com/nic": {"a", "0000:3b:00.2"}}
		if err := prepareDevice(t, w); err != nil {
			t.Fatal(err)
		}
		w.namespace(box.NetNS)
		s := box
		s.Selection = "lan@net2"
		if err := w.keeper.RunSandbox(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		dir := w.keeper.DeviceInfo
		if err := dir.Begin(s, w.recorded(request.PodUID)[0]); err != nil {
			t.Fatal(err)
		}
		path, other := dir.OfInterface(s, "lan", "net2"), filepath.Join(dir.Dir, "dp", "intel.com-nic-0000:3b:00.2-device.json")
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(other), 0o755), os.WriteFile(other, []byte("{}"), 0o600)); err != nil {
			t.Fatal(err)
		}
		w.keeper.StopSandbox(t.Context(), s)
		synctest.Wait()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is left: %v", err)
		}
		if _, err := os.Stat(other); err != nil {
			t.Error(err)
		}
	})
}
