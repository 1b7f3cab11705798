package state

import (
	"strings"
	"testing"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// TestAgain: what is asked for again is known by UID, with its counts, and ends with
// agreement, with the UID and with the epoch. The rebuilt database has the same.
func TestAgain(t *testing.T) {
	h := newHouse(t)
	announced := int64(99)
	check := func(awaiting, again int, octets int64, uids ...uint32) {
		t.Helper()
		record, _, err := h.db.Mailbox("alice/INBOX")
		if err != nil || record.Awaiting != awaiting || record.Again != again || record.AgainOctets != octets {
			t.Errorf("%d await, %d of %d octets are asked for, %v; want %d, %d, %d", record.Awaiting, record.Again, record.AgainOctets, err, awaiting, again, octets)
		}
		got, err := h.db.Again("alice/INBOX")
		if err != nil || len(got) != len(uids) {
			t.Errorf("again: %+v, %v", got, err)
		}
		for _, u := range uids {
			if got[u].UID != u {
				t.Errorf("UID %d: %+v", u, got[u])
			}
		}
	}
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
	check(3, 5, 5*99, 2, 3, 4, 5, 6)
	got, err := h.db.Again("alice/INBOX")
	if g := got[5]; err != nil || !g.Failed || g.Path == "" || g.Size != 5 || g.Days != 1 || g.Lines != 1 {
		t.Errorf("%+v, %v", g, err)
	}
	if g := got[6]; !g.Failed || g.Path != "" || g.Announced != 99 {
		t.Errorf("%+v", g)
	}
	agreed := archive.Event{Kind: archive.Added, UID: 2, Path: got[2].Path, Size: 2, Sum: got[2].Sum, InternalDate: event(2, "").InternalDate}
	b = h.batch("INBOX")
	b.Record(agreed)
	b.Record(archive.Event{Kind: archive.Failed, UID: 3, Reason: "archived already", Announced: &announced})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(4, 5)})
	h.apply(h.commit(b))
	check(1, 2, 2*99, 3, 6)
	if record, _, _ := h.db.Mailbox("alice/INBOX"); !record.Forgetful || len(record.SizeExamples) != 2 {
		t.Errorf("%+v", record)
	}
	b = h.batch("INBOX")
	b.Record(opened("INBOX", 8))
	h.apply(h.commit(b))
	check(0, 0, 0)
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
