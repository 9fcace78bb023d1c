package controllers

import "testing"

// The answer of a create is lost, the next try is refused: the first may be stored all the same.
func TestRefusalAfterALostAnswerFreesNothing(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	a.Sent(attachmentKey("x"))
	a.Refused(attachmentKey("x"))
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	wants(t, reserved(t, a, "z"), "full")
}

// Another leader's attachment records what is reserved here. When the reservation ends it has the address.
func TestReservationEndsBesideAnotherRecord(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	a.Observe(record("y", "y1", "10.0.0.1"))
	a.Settle(record("x", "x1", "10.0.0.2"))
	wants(t, reserved(t, a, "z"), "full")
	a.Forget("y1", now0)
	wants(t, reserved(t, a, "z"), "10.0.0.1")
}

// What another leader's attachment records is not asked for again, or the duplicate would be made over and over.
func TestReservationGivesWayToARecord(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	a.Observe(record("y", "y1", "10.0.0.1"))
	wants(t, reserved(t, a, "x"), "10.0.0.2")
}

// A predecessor of the same name is seen late and goes: the create that is on its way keeps its address.
func TestReservationOutlivesAPredecessor(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	a.Observe(record("x", "x0", "10.0.0.1"))
	a.Forget("x0", now0)
	wants(t, reserved(t, a, "y"), "10.0.0.2")
	wants(t, reserved(t, a, "z"), "full")
}

// The pods that wait for an address hear of those that another leader's choice left over.
func TestSettleTellsOfWhatItFrees(t *testing.T) {
	a := configured(t, "10.0.0.0/30")
	wants(t, reserved(t, a, "x"), "10.0.0.1")
	freed := 0
	a.Listen(func(c change) {
		if c.freed {
			freed++
		}
	})
	a.Settle(record("x", "x1", "10.0.0.2"))
	wants(t, reserved(t, a, "y"), "10.0.0.1")
	a.Settle(record("y", "y1", "10.0.0.1"))
	if freed != 1 {
		t.Errorf("heard of it %d times", freed)
	}
}
