package state

import (
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// allAgain looks up all that is asked for again.
var allAgain = AgainQuery{Day: DayOf(clock) + 1, Max: 99}

// again records what TestAgain begins with: three messages that await agreement, two that
// failed for their size, one that failed for another reason.
func (h *house) again() {
	h.t.Helper()
	announced := int64(99)
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	for u := range uint32(5) {
		h.add(b, 7, u+1, strings.Repeat("x", int(u+1)), `\Seen`)
		if u > 0 {
			b.Events[len(b.Events)-1].Announced = &announced
		}
	}
	b.Fail("short")
	b.Record(archive.Event{Kind: archive.Failed, UID: 6, Reason: "empty", Announced: &announced})
	b.Record(archive.Event{Kind: archive.Failed, UID: 7, Reason: "NO"})
	h.apply(h.commit(b))
}

// hasAgain checks the counts of what is asked for again, and its UIDs.
func (h *house) hasAgain(awaiting, again int, octets int64, want string) {
	h.t.Helper()
	record, _, err := h.db.Mailbox("alice/INBOX")
	if err != nil || record.Awaiting != awaiting || record.Again != again || record.AgainOctets != octets {
		h.t.Errorf("%d await, %d of %d octets are asked for, %v; want %d, %d, %d", record.Awaiting, record.Again, record.AgainOctets, err, awaiting, again, octets)
	}
	if got, _ := h.lookUpAgain(allAgain); got != want {
		h.t.Errorf("UIDs %s are asked for again, want %s", got, want)
	}
}

// lookUpAgain returns the UIDs that a query finds, and all failed ones.
func (h *house) lookUpAgain(q AgainQuery) (found, failed string) {
	h.t.Helper()
	got, all, err := h.db.Again("alice/INBOX", q)
	if err != nil {
		h.t.Fatal(err)
	}
	var uids uid.Set
	for u := range got {
		uids.Add(u)
	}
	return uids.String(), all.String()
}

// TestAgain: what is asked for again is known by UID, with its counts, and ends with
// agreement, with the UID and with the epoch. The rebuilt database has the same.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	h.again()
	h.hasAgain(3, 5, 5*99, "2:6")
	got, _, err := h.db.Again("alice/INBOX", allAgain)
	if g := got[5]; err != nil || !g.Failed || g.Path == "" || g.Size != 5 || g.Days != 1 || g.Lines != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	if g := got[6]; !g.Failed || g.Path != "" || g.Announced != 99 {
		t.Errorf("%+v", g)
	}
	announced := int64(99)
	b := h.batch("INBOX")
	b.Record(archive.Event{Kind: archive.Added, UID: 2, Path: got[2].Path, Size: 2, Sum: got[2].Sum, InternalDate: event(2, "").InternalDate})
	b.Record(archive.Event{Kind: archive.Failed, UID: 3, Reason: "archived already", Announced: &announced})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(4, 5)})
	h.apply(h.commit(b))
	h.hasAgain(1, 2, 2*99, "3,6")
	if record, _, _ := h.db.Mailbox("alice/INBOX"); !record.Forgetful || len(record.SizeExamples) != 2 {
		t.Errorf("%+v", record)
	}
	b = h.batch("INBOX")
	b.Record(opened("INBOX", 8))
	h.apply(h.commit(b))
	h.hasAgain(0, 0, 0, "")
}

// TestAgainIsBounded: a query finds at most so many of each kind, from any UID on, and
// none that is not due.
func TestAgainIsBounded(t *testing.T) {
	h := newHouse(t)
	h.again()
	for from, want := range map[uint32]string{1: "2,5", 3: "3,5", 6: "2,6", 7: "2,5"} {
		if found, failed := h.lookUpAgain(AgainQuery{Day: allAgain.Day, From: from, Max: 1}); found != want || failed != "5:6" {
			t.Errorf("from %d: UIDs %s, failed %s, want %s and 5:6", from, found, failed, want)
		}
	}
	if found, _ := h.lookUpAgain(AgainQuery{Day: DayOf(clock), Max: 99}); found != "5:6" {
		t.Errorf("on the same day: %s", found)
	}
}

// TestAgainEncoding: what is stored is read again; what is damaged is an error.
func TestAgainEncoding(t *testing.T) {
	in := Again{UID: 1<<32 - 1, Failed: true, Announced: 1 << 40, Size: 3, Sum: archive.Sum{1, 2}, Path: "2026-11/x.eml", Day: 20000, Days: 2, Lines: 7}
	value := in.encode()
	if out, err := decodeAgain(uidKey(in.UID), value); err != nil || out != in {
		t.Errorf("%+v, %v", out, err)
	}
	for n := range len(value) - len(in.Path) {
		if _, err := decodeAgain(uidKey(1), value[:n]); err == nil {
			t.Errorf("%d octets of it are no error", n)
		}
	}
}

// TestAgainIsDue: octets are recorded on another day at the earliest, and more and more
// rarely if they never settle.
func TestAgainIsDue(t *testing.T) {
	for _, c := range []struct{ lines, wait int64 }{{1, 1}, {maxDailyLines, 1}, {maxDailyLines + 1, 2}, {maxDailyLines + 3, 8}, {maxDailyLines + 99, maxAgainDays}} {
		g := Again{Day: 100, Lines: c.lines}
		if g.IsDue(100+c.wait-1) || !g.IsDue(100+c.wait) {
			t.Errorf("after %d lines it is not due after %d days", c.lines, c.wait)
		}
	}
}
