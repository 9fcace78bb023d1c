package plumb

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Only members send into our segments, and other segments, ports and programs are none of our business.
func TestGuard(t *testing.T) {
	g := newGuarded(t)
	for _, to := range []string{g.nodeAddr4, g.nodeAddr6} {
		g.want("without a guard", g.stranger, to, "4789", 5000, true)
	}
	g.ensure(Guard{VNI: 5000, Port: 4789, Members: []netip.Addr{g.memberAddr4, g.memberAddr6}}, Guard{VNI: 6000, Port: 4789})
	for _, to := range []string{g.nodeAddr4, g.nodeAddr6} {
		g.want("a member", g.member, to, "4789", 5000, true)
		g.want("a stranger", g.stranger, to, "4789", 5000, false)
		g.want("a member of another segment", g.member, to, "4789", 6000, false)
		g.want("a segment of others", g.stranger, to, "4789", 5001, true)
		g.want("a VNI that differs in its first byte", g.stranger, to, "4789", 5000|1<<16, true)
		g.want("another port", g.stranger, to, "8472", 5000, true)
	}
	if err := UpdateGuard(g.node, 5000, nil, []netip.Addr{g.memberAddr4, netip.MustParseAddr("192.168.7.77")}); err != nil {
		t.Fatal(err)
	}
	g.want("no member any more", g.member, g.nodeAddr4, "4789", 5000, false)
	g.want("a member still", g.member, g.nodeAddr6, "4789", 5000, true)
	if err := UpdateGuard(g.node, 6000, []netip.Addr{g.memberAddr4, g.memberAddr6}, nil); err != nil {
		t.Fatal(err)
	}
	g.want("a new member", g.member, g.nodeAddr4, "4789", 6000, true)
	g.want("a member of one segment alone", g.member, g.nodeAddr4, "4789", 5000, false)
	g.want("a stranger", g.stranger, g.nodeAddr4, "4789", 6000, false)
	g.ensure()
	g.want("the last guard is gone", g.stranger, g.nodeAddr4, "4789", 5000, true)
}

// The table is replaced only where it is not right, whatever somebody did to it, and tables of others stay.
func TestEnsureGuardsRepairs(t *testing.T) {
	g := newGuarded(t)
	conn, err := nftables.New(nftables.WithNetNSFd(g.node.FD()))
	if err != nil {
		t.Fatal(err)
	}
	foreign := &nftables.Table{Name: "firewall", Family: nftables.TableFamilyINet}
	chain := conn.AddChain(&nftables.Chain{Table: conn.AddTable(foreign), Name: "input"})
	conn.AddRule(&nftables.Rule{Table: foreign, Chain: chain, Exprs: firstFragment()})
	flush := func() {
		t.Helper()
		if err := conn.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	table := guardTableRef()
	// dropped is what the rules have counted; a new table has counted nothing.
	dropped := func() (packets uint64) {
		t.Helper()
		rules, err := conn.GetRules(table, &nftables.Chain{Table: table, Name: guardChain})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					packets += counter.Packets
				}
			}
		}
		return packets
	}
	guards := []Guard{{VNI: 5000, Port: 4789, Members: []netip.Addr{g.memberAddr4, g.memberAddr6}}}
	g.ensure(guards...)
	g.want("before", g.stranger, g.nodeAddr4, "4789", 5000, false)
	for name, harm := range map[string]func(){
		"nothing":           func() {},
		"the table is gone": func() { conn.DelTable(table) },
		"no rule is left": func() {
			conn.FlushChain(&nftables.Chain{Table: table, Name: guardChain})
		},
		"a set is empty": func() { conn.FlushSet(newGuardSets(table).segments) },
		"somebody added a member": func() {
			extra := newGuardElements([]Guard{{VNI: 5000, Members: []netip.Addr{g.memberAddr4.Next()}}})
			if err := addElements(conn, newGuardSets(table).members4, extra.members4); err != nil {
				t.Fatal(err)
			}
		},
		"somebody added a rule": func() {
			c := &nftables.Chain{Table: table, Name: guardChain}
			conn.InsertRule(&nftables.Rule{Table: table, Chain: c, Exprs: firstFragment()})
		},
	} {
		harm()
		flush()
		g.ensure(guards...)
		if kept := dropped() > 0; kept != (name == "nothing") {
			t.Errorf("%s: the table was kept: %v", name, kept)
		}
		g.want(name, g.member, g.nodeAddr4, "4789", 5000, true)
		g.want(name, g.stranger, g.nodeAddr4, "4789", 5000, false)
	}
	g.ensure()
	if rules, err := conn.GetRules(foreign, chain); err != nil || len(rules) != 1 {
		t.Errorf("rules of the other table %v, %v", rules, err)
	}
	g.ensure()
	if _, found, _, err := readGuards(conn); found || err != nil {
		t.Error("the table is still there")
	}
	if err := UpdateGuard(g.node, 5000, []netip.Addr{g.memberAddr4}, nil); !errors.Is(err, unix.ENOENT) {
		t.Errorf("update without a table: %v, want ENOENT", err)
	}
}

// Ten thousand members are one transaction.
func TestManyMembers(t *testing.T) {
	g := newGuarded(t)
	var members []netip.Addr
	for a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00:1::1"); len(members) < 10000; a, b = a.Next(), b.Next() {
		members = append(members, a, b)
	}
	many := []Guard{{VNI: 5000, Port: 4789, Members: members}, {VNI: 6000, Port: 4789, Members: members[:1000]}}
	g.ensure(many...)
	g.want("ten thousand members", g.stranger, g.nodeAddr4, "4789", 5000, false)
	if err := UpdateGuard(g.node, 5000, []netip.Addr{g.memberAddr4}, members); err != nil {
		t.Fatal(err)
	}
	g.want("one member", g.member, g.nodeAddr4, "4789", 5000, true)
	g.want("one member", g.stranger, g.nodeAddr4, "4789", 5000, false)
}

func TestExplainGuard(t *testing.T) {
	for _, missing := range []error{unix.EPROTONOSUPPORT, unix.EOPNOTSUPP} {
		if err := explainGuard(missing); !errors.Is(err, ErrNoGuardSupport) {
			t.Errorf("error %v of a kernel without nftables", err)
		}
	}
	if err := explainGuard(unix.EPERM); !errors.Is(err, unix.EPERM) {
		t.Errorf("error %v", err)
	}
	if err := explainGuard(nil); err != nil {
		t.Errorf("error %v", err)
	}
}
