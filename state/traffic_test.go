package state

import (
	"testing"
	"time"
)

func (h *house) within(account string, now time.Time) int64 {
	h.t.Helper()
	t, err := h.db.Traffic(account, now)
	if err != nil {
		h.t.Fatal(err)
	}
	return t.OctetsInDay(now)
}

func (h *house) spend(account string, at time.Time, octets int64) {
	h.t.Helper()
	if err := h.db.AddTraffic(account, at, octets); err != nil {
		h.t.Fatal(err)
	}
}

// Octets received in an hour count for 24 hours after its end.
func TestTrafficIsOfTheLastDay(t *testing.T) {
	at := func(hours float64) time.Time {
		return clock.Truncate(time.Hour).Add(time.Duration(hours * float64(time.Hour)))
	}
	var tr Traffic
	for _, s := range []struct{ hour, octets int64 }{{0, 100}, {1, 10}, {1, 5}, {20, 1}} {
		tr = tr.Add(at(float64(s.hour)+0.5), s.octets)
	}
	for _, c := range []struct {
		now    float64
		octets int64
	}{{20.5, 116}, {24.9, 116}, {25, 16}, {25.9, 16}, {26, 1}, {44.9, 1}, {45, 0}, {1000, 0}} {
		if got := tr.OctetsInDay(at(c.now)); got != c.octets {
			t.Errorf("%d octets at %v h, want %d", got, c.now, c.octets)
		}
	}
	for _, c := range []struct {
		now    float64
		octets int64
		want   float64
	}{{21, 200, 21}, {21, 116, 21}, {21, 115, 25}, {21, 16, 25}, {21, 15, 26}, {21, 0, 45}, {25.5, 15, 26}, {21, -1, 45}} {
		if got := tr.TimeBelow(at(c.now), c.octets); !got.Equal(at(c.want)) {
			t.Errorf("from %v h on below %d at %v, want %v", c.now, c.octets, got, at(c.want))
		}
	}
	if n := len(tr.Add(at(30), 1)); n != 2 {
		t.Errorf("%d hours are kept, want 2", n)
	}
	for i := range 1000 {
		tr = tr.Add(at(float64(i)), 1)
	}
	if n := len(tr); n != 25 {
		t.Errorf("%d hours are kept", n)
	}
	// a clock that was set to the future and back
	if got := tr.Add(at(5000), 7).Add(at(1000), 0).OctetsInDay(at(1000)); got != 0 {
		t.Errorf("%d octets of the future count", got)
	}
}

// Traffic is stored by the next transaction, for each account, and survives a rebuild in
// the same process.
func TestTrafficIsKept(t *testing.T) {
	h := newHouse(t)
	h.spend("alice", clock, 5)
	h.spend("bob", clock, 7)
	h.reopen()
	if got := h.within("alice", clock); got != 0 {
		t.Errorf("%d octets without a transaction", got)
	}
	h.spend("alice", clock, 5)
	h.simple()
	h.spend("alice", clock.Add(time.Hour), 6)
	h.spend("bob", clock, 7)
	if err := h.db.FinishRun(Run{Account: "alice", Started: clock, Ended: clock}, nil); err != nil {
		t.Fatal(err)
	}
	h.spend("bob", clock, 100) // forgotten
	h.reopen()
	if a, b := h.within("alice", clock.Add(time.Hour)), h.within("bob", clock); a != 11 || b != 7 {
		t.Errorf("alice %d, bob %d octets", a, b)
	}
	h.spend("bob", clock, 1)
	if _, err := h.db.Rebuild(); err != nil {
		t.Fatal(err)
	}
	if err := h.db.FinishRun(Run{Account: "bob", Started: clock, Ended: clock}, nil); err != nil {
		t.Fatal(err)
	}
	h.close()
	r, err := OpenReader(h.path())
	if err != nil {
		t.Fatal(err)
	}
	all, err := r.Traffic()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got := all["bob"].OctetsInDay(clock); err != nil || got != 8 || all["alice"].OctetsInDay(clock) != 11 {
		t.Errorf("%v, %v", all, err)
	}
	h.open()
}

// Traffic of a failed transaction is stored by the next one.
func TestTrafficAfterAFailure(t *testing.T) {
	h := newHouse(t)
	h.simple()
	h.spend("alice", clock, 5)
	if err := h.db.Apply(Change{}); err == nil {
		t.Fatal("no error")
	}
	if _, err := h.db.Rebuild(); err != nil {
		t.Fatal(err)
	}
	h.spend("alice", clock, 1)
	if err := h.db.FinishRun(Run{Account: "alice", Started: clock, Ended: clock}, nil); err != nil {
		t.Fatal(err)
	}
	h.reopen()
	if got := h.within("alice", clock); got != 6 {
		t.Errorf("%d octets", got)
	}
}
