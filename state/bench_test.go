package state

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"archiverd/archive"
)

// filled is a house with that many mailboxes of that many messages each. The lines have
// Matched set: no files are written.
func filled(t testing.TB, mailboxes, messages int) *house {
	t.Helper()
	h := &house{t: t, dir: filepath.Join(t.TempDir(), "archive")}
	h.open()
	var group []*archive.Batch
	for i := range mailboxes {
		name := fmt.Sprintf("box %05d", i)
		b := h.batch(name)
		b.Record(opened(name, 1))
		for u := range messages {
			b.Record(matched(uint32(u + 1)))
			if b.Len() == 1000 && u+1 < messages {
				h.apply(h.commit(append(group, b)...))
				group, b = nil, h.batch(name)
			}
		}
		if group = append(group, b); len(group) == 64 || i == mailboxes-1 {
			h.apply(h.commit(group...))
			for _, b := range group {
				if err := b.Mailbox().Release(); err != nil {
					t.Fatal(err)
				}
			}
			group = nil
		}
	}
	return h
}

// matched is the event of a message with a sum of its own.
func matched(u uint32) archive.Event {
	e := archive.Event{Kind: archive.Added, UID: u, Size: 4711, InternalDate: clock.Add(time.Duration(u) * time.Minute), Flags: []string{`\Seen`}, Matched: "uid"}
	e.Path = fmt.Sprintf("2026-11/20261122T183000Z.1.%d.eml", u)
	for i := range e.Sum { // well spread, as sums are
		e.Sum[i] = byte((u*2654435761 + uint32(i)*40503) >> (uint(i) % 24))
	}
	return e
}

// BenchmarkOpen opens a database that is up to date: the time depends on the number
// of mailboxes, not on their messages.
func BenchmarkOpen(b *testing.B) {
	for _, size := range []struct{ mailboxes, messages int }{{1, 1}, {1, 100_000}, {1000, 1}, {10_000, 1}} {
		b.Run(fmt.Sprintf("mailboxes=%d/messages=%d", size.mailboxes, size.messages), func(b *testing.B) {
			h := filled(b, size.mailboxes, size.messages)
			defer func() { h.close() }()
			b.ReportAllocs()
			for b.Loop() {
				if notes := h.reopen(); len(notes) > 0 {
					b.Fatal(notes)
				}
			}
		})
	}
}

// BenchmarkApply applies a batch of 1,000 messages to a database of 100,000.
func BenchmarkApply(b *testing.B) {
	h := filled(b, 1, 100_000)
	defer h.close()
	next := uint32(100_000)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := h.batch("box 00000")
		for range 1000 {
			next++
			batch.Record(matched(next))
		}
		changes := h.commit(batch)
		b.StartTimer()
		h.apply(changes)
	}
}

// BenchmarkUIDs reads which UIDs of 100,000 the archive has.
func BenchmarkUIDs(b *testing.B) {
	h := filled(b, 1, 100_000)
	defer h.close()
	b.ReportAllocs()
	for b.Loop() {
		if u, err := h.db.UIDs("alice/box 00000"); err != nil || u.Archived.Len() != 100_000 {
			b.Fatal(u.Archived.Len(), err)
		}
	}
}

// Opening reads a journal's first line and the last applied seal, no more: damage in the
// middle is not noticed, verify finds it.
func TestOpenReadsNoJournal(t *testing.T) {
	h := newHouse(t)
	b := h.batch("INBOX")
	b.Record(opened("INBOX", 1))
	for u := range uint32(60) {
		h.add(b, 1, u+1, fmt.Sprint("message ", u))
	}
	h.apply(h.commit(b))
	h.close()
	path := filepath.Join(h.dir, "alice", "INBOX", "journal.jsonl")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := append([]byte(nil), good...)
	bad[len(bad)/2] ^= 1
	if err := os.WriteFile(path, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	if notes := h.open(); len(notes) > 0 {
		t.Errorf("notes are %q", notes)
	}
	if u, err := h.db.UIDs("alice/INBOX"); err != nil || u.Archived.Len() != 60 {
		t.Error(u.Archived.Len(), err)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
}
