package controllers

import (
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/multinet-dev/multinet/apis/v1alpha1"
	"github.com/multinet-dev/multinet/operator/decide"
	"github.com/multinet-dev/multinet/operator/ipam"
)

// setAsideTotal is per process, as counters are; the managers of one process share it.
var setAsideTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "multinet_addresses_set_aside_total",
	Help: "Addresses that were set aside because another machine uses them.",
}, []string{"network"})

func init() { metrics.Registry.MustRegister(setAsideTotal) }

// SetAside keeps addresses of a Network from being given out. Doing it again changes nothing. Listeners have it recorded
// in the Network's status.
func (a *Allocator) SetAside(network string, aside []ipam.Aside, now time.Time) {
	added := 0
	a.mu.Lock()
	for _, one := range aside {
		// Without the fraction that the API drops: a status is compared with what was written.
		one.Since = now.Truncate(time.Second)
		b := a.book(network)
		if b.pool.SetAside(one, now) {
			added++
			a.touch(b, []netip.Addr{one.Addr}, "")
		}
	}
	a.mu.Unlock()
	if added > 0 {
		setAsideTotal.WithLabelValues(network).Add(float64(added))
		a.tell(change{network: network, aside: true})
	}
}

// restoreAside takes over what an earlier leader recorded.
func (a *Allocator) restoreAside(network *v1alpha1.Network, now time.Time) {
	for _, one := range decide.Aside(network) {
		a.book(network.Name).pool.SetAside(one, now)
	}
}

// Aside returns what is set aside of a Network, and when the first of it is given out again. Pods that wait for an
// address hear of those that were given back since the last call.
func (a *Allocator) Aside(network string, recorded []v1alpha1.SetAsideAddress, now time.Time) (aside []ipam.Aside, next time.Duration) {
	a.mu.Lock()
	if b := a.networks[network]; b != nil {
		aside = b.pool.Aside(now)
	}
	a.mu.Unlock()
	over := slices.ContainsFunc(recorded, func(s v1alpha1.SetAsideAddress) bool {
		return !slices.ContainsFunc(aside, func(a ipam.Aside) bool { return a.Addr.String() == s.Address })
	})
	if over {
		a.touchRecorded(network, recorded)
		a.tell(change{network: network, freed: true})
	}
	if len(aside) > 0 {
		next = aside[0].Since.Add(ipam.AsideTime).Sub(now)
	}
	return aside, next
}

// touchRecorded has the claims looked at that name an address which was set aside.
func (a *Allocator) touchRecorded(network string, recorded []v1alpha1.SetAsideAddress) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range recorded {
		if addr, err := netip.ParseAddr(one.Address); err == nil {
			a.touch(a.book(network), []netip.Addr{addr}, "")
		}
	}
}
