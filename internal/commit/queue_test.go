package commit

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"archiverd/archive"
	"archiverd/state"
)

// newCommitter starts the committer of an empty archive with one mailbox, which is
// verified at the end of the test. step is called at each step of a commit; nil: nothing.
func newCommitter(t *testing.T, step func(name string) error) (*Committer, *archive.Mailbox) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "archive")
	w, err := archive.OpenWriter(dir, archive.Options{Step: step})
	if err != nil {
		t.Fatal(err)
	}
	db, _, err := state.OpenStale(dir+".db", w)
	if err != nil {
		t.Fatal(err)
	}
	c := New(w, db, slog.New(slog.DiscardHandler))
	at, err := w.Directories().For("alice", archive.Name{Mailbox: "INBOX", Delimiter: "/"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Mailbox(at, "", archive.Position{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := m.Release(); err != nil {
			t.Error(err)
		}
		v, err := w.Verify(context.Background(), at, archive.VerifyOptions{})
		if err != nil || slices.ContainsFunc(v.Findings, func(f archive.Finding) bool { return f.Damage }) {
			t.Errorf("verify: %+v, %v", v, err)
		}
		if err := errors.Join(db.Close(), w.Close()); err != nil {
			t.Error(err)
		}
	})
	return c, m
}

// newBatch returns a batch of one event: the first opens the mailbox, the others say
// that a message failed.
func newBatch(t *testing.T, m *archive.Mailbox, n int) *archive.Batch {
	t.Helper()
	b, err := m.Batch()
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		b.Record(archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: "INBOX", Delimiter: "/"}, UIDValidity: 7})
	} else {
		b.Record(archive.Event{Kind: archive.Failed, UID: uint32(n), Reason: "for the test"})
	}
	return b
}

// TestQueueBoundsBatchesInFlight: a producer never has more batches in flight than its
// queue allows, and they are committed in the order in which it submitted them.
func TestQueueBoundsBatchesInFlight(t *testing.T) {
	const batches, maxBatches = 20, 3
	c, m := newCommitter(t, nil)
	q := c.NewQueue(maxBatches)
	var done atomic.Int64
	for n := range batches {
		q.Submit(newBatch(t, m, n), func(b *archive.Batch) {
			if b.Err != nil {
				t.Errorf("batch %d: %v", n, b.Err)
			}
			if before := done.Add(1) - 1; before != int64(n) {
				t.Errorf("batch %d is committed as number %d", n, before)
			}
		})
		if inFlight := int64(n+1) - done.Load(); inFlight > maxBatches {
			t.Errorf("%d batches are in flight, want %d at most", inFlight, maxBatches)
		}
	}
	q.WaitAll()
	if done.Load() != batches {
		t.Errorf("%d batches are committed after WaitAll, want %d", done.Load(), batches)
	}
	recorded, err := c.State.UIDs(m.Dir)
	if err != nil || recorded.Failed.Len() != batches-1 {
		t.Errorf("the database has %d failed messages, want %d: %v", recorded.Failed.Len(), batches-1, err)
	}
}

// TestFailedBatchFailsThoseAfterIt: an event stands in the journal only after all that
// were submitted before it for the same mailbox.
func TestFailedBatchFailsThoseAfterIt(t *testing.T) {
	broken := errors.New("broken on purpose")
	var hasFailed atomic.Bool
	c, m := newCommitter(t, func(name string) error {
		if name == archive.StepAppend && !hasFailed.Swap(true) {
			return broken
		}
		return nil
	})
	first, second := newBatch(t, m, 0), newBatch(t, m, 1)
	if err := c.Commit(first); !errors.Is(err, broken) {
		t.Errorf("first batch: %v, want the failed step", err)
	}
	if err := c.Commit(second); err == nil {
		t.Error("the second batch is committed, and the one before it is not")
	}
}

// TestIsFull: a batch is full at each of its limits.
func TestIsFull(t *testing.T) {
	c, m := newCommitter(t, nil)
	if err := c.Commit(newBatch(t, m, 0)); err != nil {
		t.Fatal(err)
	}
	b, err := m.Batch()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Discard(); err != nil {
			t.Error(err)
		}
	}()
	if IsFull(b, b.Started().Add(MaxAge-1)) {
		t.Error("a young, empty batch is full")
	}
	if !IsFull(b, b.Started().Add(MaxAge)) {
		t.Error("an old batch is not full")
	}
	for u := range uint32(MaxMessages) {
		b.Record(archive.Event{Kind: archive.Failed, UID: u + 1, Reason: "for the test"})
	}
	if !IsFull(b, b.Started()) {
		t.Error("a batch of MaxMessages events is not full")
	}
}
