//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/demo/cluster"
)

// wholeVF makes a Network of one VF, which it knows by its PCI address alone.
func (s *scene) wholeVF(g guest) (pciAddress string) {
	s.t.Helper()
	addresses := slices.Sorted(maps.Keys(g.vfs))
	pciAddress = addresses[len(addresses)-1]
	spec := networkSpec("")
	spec.Type, spec.Macvlan = v1alpha1.NetworkTypeHostDevice, nil
	spec.HostDevice = &v1alpha1.HostDeviceSpec{NIC: v1alpha1.UplinkSelector{PCIAddresses: []string{pciAddress}}}
	s.network("whole", spec)
	return pciAddress
}

// hasWhole waits until the pod has the VF as it was on the node, with its own MAC and with what its PF was told of it.
func (s *scene) hasWhole(node, pciAddress, name string, before guest) {
	s.t.Helper()
	s.until(4*time.Minute, "pod "+name+" to have VF "+pciAddress, func(ctx context.Context) error {
		pod, err := s.get(ctx, name)
		if err == nil {
			err = cluster.PodReady(pod)
		}
		if err != nil {
			return err
		}
		g, err := s.guest(ctx, node)
		if err != nil {
			return err
		}
		now, was, a := g.vfs[pciAddress], before.vfs[pciAddress], s.attachments(name)["net1"]
		if now.OnNode || !now.Up || now.Link != "net1" || now.MAC != was.MAC || now.Settings != was.Settings {
			return fmt.Errorf("it was %+v and is %+v", was, now)
		}
		if d := a.Status.Device; d == nil || d.Kind != v1alpha1.DeviceKindVF || d.PCIAddress != pciAddress || a.Status.MAC != was.MAC {
			return fmt.Errorf("its attachment says %+v", a.Status)
		}
		if len(now.inside.prefixes()) != 2 {
			return errors.New("it has no addresses")
		}
		return nil
	})
}
