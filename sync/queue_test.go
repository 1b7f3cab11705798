package sync

import (
	"testing"
	"time"

	"archiverd/internal/uid"
)

// TestMailboxEndsOutsideTheMutex: closing a mailbox may rewrite its journal. It is done
// without the mutex that all workers need, and the run can't end before the scan that
// it may ask for is queued.
func TestMailboxEndsOutsideTheMutex(t *testing.T) {
	m := &mailboxRun{}
	w := &worker{}
	var q *queue
	ended := 0
	q = newQueue(func() int { return 1 }, func(*mailboxRun) bool {
		q.mu.Lock() // would block for ever under the mutex
		defer q.mu.Unlock()
		if q.total == 0 {
			t.Error("nothing is pending: other workers end")
		}
		ended++
		return ended == 1 // scan it once more
	})
	q.add(task{mailbox: m})
	for scans := 1; scans <= 2; scans++ {
		got, ok := q.take(t.Context(), w, nil)
		if !ok || got.mailbox != m || got.isPiece() {
			t.Fatalf("scan %d: %+v, %v", scans, got, ok)
		}
		q.donePending(m)
	}
	if got, ok := q.take(t.Context(), w, nil); ok {
		t.Errorf("a task after all is done: %+v", got)
	}
	if ended != 2 || len(q.pending) != 0 {
		t.Errorf("ended %d times, pending %v", ended, q.pending)
	}
}

// TestQueueOrder: pieces of a mailbox are left to the worker that opens its journal, and
// tasks at which connections were lost come last, one at a time.
func TestQueueOrder(t *testing.T) {
	a, b := &mailboxRun{}, &mailboxRun{}
	opener, other := &worker{}, &worker{}
	q := newQueue(func() int { return 2 }, func(*mailboxRun) bool { return false })
	piece := func(m *mailboxRun, u uint32, o order) task {
		return task{mailbox: m, snapshot: &snapshot{}, uids: uid.Of(u), order: o}
	}
	q.setOpener(a, opener)
	q.add(piece(a, 1, orderNormal))
	q.add(piece(b, 2, orderSuspect))
	q.add(piece(b, 3, orderSuspect))
	q.add(piece(b, 4, orderNormal))
	take := func(w *worker) uint32 {
		t.Helper()
		got, ok := q.take(t.Context(), w, nil)
		if !ok {
			t.Fatal("no task")
		}
		return got.uids.Max()
	}
	if got := take(other); got != 4 {
		t.Errorf("the other worker takes UID %d, want 4: the opener has the first mailbox", got)
	}
	if got := take(opener); got != 1 {
		t.Errorf("the opener takes UID %d, want 1", got)
	}
	if got := take(other); got != 3 {
		t.Errorf("UID %d comes next, want 3: the last suspect first", got)
	}
	if _, ok := q.takePiece(t.Context(), opener, b); ok {
		t.Error("a suspect is preferred for its mailbox")
	}
	got := make(chan uint32, 1)
	go func() {
		last, _ := q.take(t.Context(), opener, nil)
		got <- last.uids.Max()
	}()
	q.endProbing(other)
	select {
	case u := <-got:
		if u != 2 {
			t.Errorf("UID %d comes last, want 2", u)
		}
	case <-time.After(soon):
		t.Error("the last suspect waits for ever")
	}
}
