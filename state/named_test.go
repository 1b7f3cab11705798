package state

import (
	"testing"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// UIDs that a journal may name already are told apart from new ones: archived and gone
// ones, failed ones, those that failed after they were gone, and those of earlier epochs
// with the same UIDVALIDITY.
func TestNamedUIDs(t *testing.T) {
	h := newHouse(t)
	const dir = "alice/INBOX"
	named := func(uidValidity uint32, want string) {
		t.Helper()
		if got := h.db.NamedUIDs(dir, uidValidity, uid.Of(1, 2, 3, 4, 5, 6)).String(); got != want {
			t.Errorf("of UIDVALIDITY %d the journal may name %q, want %q", uidValidity, got, want)
		}
	}
	named(7, "")
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 7))
	h.add(b, 7, 1, "one")
	h.add(b, 7, 3, "three")
	b.Record(archive.Event{Kind: archive.Failed, UID: 4, Reason: "r"})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(1)})
	h.apply(h.commit(b))
	named(7, "1,3:4")
	named(8, "")
	b = h.batch("INBOX")
	b.Record(archive.Event{Kind: archive.Failed, UID: 1, Reason: "r"})
	b.Record(archive.Event{Kind: archive.Gone, UIDs: uid.Of(1, 4)})
	h.apply(h.commit(b))
	named(7, "1:6")
	b = h.batch("INBOX")
	b.Record(opened("INBOX", 8))
	h.add(b, 8, 2, "two")
	h.apply(h.commit(b))
	named(7, "1:6")
	named(8, "2")
	b = h.batch("INBOX")
	b.Record(opened("INBOX", 8))
	h.apply(h.commit(b))
	named(8, "1:2")
}

// Batches of a mailbox that are committed together are one change; the database takes
// it, and knows afterwards that the mailbox may be named.
func TestBatchesOfOneCommitAreOneChange(t *testing.T) {
	h := newHouse(t)
	one, two, other := h.batch("INBOX"), h.batch("INBOX"), h.batch("other")
	one.Record(opened("INBOX", 7))
	h.add(one, 7, 1, "one")
	h.add(two, 7, 2, "two")
	other.Record(opened("other", 7))
	changes := h.commit(one, other, two)
	if len(changes) != 2 || len(changes[0].Events) != 3 {
		t.Errorf("%d changes, the first of %d events", len(changes), len(changes[0].Events))
	}
	h.apply(changes)
	if got, want := h.uids("alice/INBOX"), "archived 1:2 failed  gone "; got != want {
		t.Errorf("UIDs are %s, want %s", got, want)
	}
}
