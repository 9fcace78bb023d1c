package controllers

import (
	"net/netip"
	"slices"
	"time"

	"github.com/multinet-dev/multinet/operator/ipam"
)

// hold gives an address to an owner, or has it wait behind who has it.
func (b *networkBook) hold(addr netip.Addr, owner ipam.Owner) {
	if err := b.pool.Claim(addr, owner); err != nil && !slices.Contains(b.contested[addr], owner) {
		b.contested[addr] = append(b.contested[addr], owner)
	}
}

// release frees an address to rest, or hands it to another owner that records it too.
func (b *networkBook) release(addr netip.Addr, owner ipam.Owner, now time.Time) (freed bool) {
	return b.giveUp(addr, owner) && b.pool.Release(addr, owner, now)
}

// giveUp tells whether the owner is the last one: then the address is still its own.
func (b *networkBook) giveUp(addr netip.Addr, owner ipam.Owner) (last bool) {
	others := b.contested[addr]
	if i := slices.Index(others, owner); i >= 0 {
		b.setContested(addr, append(others[:i:i], others[i+1:]...))
		return false
	}
	return !b.handOver(addr, owner)
}

// handOver gives an address that owner holds to the next that records it too. It reports whether there is one.
func (b *networkBook) handOver(addr netip.Addr, owner ipam.Owner) bool {
	others := b.contested[addr]
	if len(others) == 0 || !b.pool.Transfer(addr, owner, others[0]) {
		return false
	}
	b.setContested(addr, others[1:])
	return true
}

func (b *networkBook) setContested(addr netip.Addr, by []ipam.Owner) {
	if b.contested[addr] = by; len(by) == 0 {
		delete(b.contested, addr)
	}
}

// recorders are all owners of an address, who has it before those that wait.
func (b *networkBook) recorders(addr netip.Addr) []ipam.Owner {
	owner := b.pool.Owner(addr)
	if owner == "" {
		return nil
	}
	return append([]ipam.Owner{owner}, b.contested[addr]...)
}

// holdMAC: any number may record a MAC, the first one has it.
func (b *networkBook) holdMAC(mac string, owner ipam.Owner) {
	if mac != "" {
		b.macs[mac] = append(b.macs[mac], owner)
	}
}

func (b *networkBook) releaseMAC(mac string, owner ipam.Owner) {
	left := slices.DeleteFunc(b.macs[mac], func(o ipam.Owner) bool { return o == owner })
	if b.macs[mac] = left; len(left) == 0 {
		delete(b.macs, mac)
	}
}

// allRecorders of addresses and a MAC.
func (b *networkBook) allRecorders(addresses []netip.Addr, mac string) []ipam.Owner {
	recorders := slices.Clone(b.macs[mac])
	for _, addr := range addresses {
		recorders = append(recorders, b.recorders(addr)...)
	}
	return recorders
}
