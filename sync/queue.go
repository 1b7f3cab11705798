package sync

import (
	"context"
	"slices"
	gosync "sync"

	"archiverd/archive"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// task is work for one worker, to which it belongs: a mailbox to scan, or a piece of
// it, which is messages to fetch.
type task struct {
	mailbox *mailboxRun
	// snapshot is the scan that found the messages. It is void once the mailbox has
	// another one. nil: the task is to scan the mailbox.
	snapshot *snapshot
	uids     uid.Set // messages that are still to be fetched
	// metadata has at least these messages, by UID; nil: the worker asks the server for
	// it first. All pieces of a mailbox share one map, which nobody changes.
	metadata map[uint32]wire.Metadata

	tries         int                    // connections lost in a row while it received nothing
	metadataTries int                    // how many of tries were lost while its metadata was fetched
	skipMatching  bool                   // a connection was lost while its headers were fetched: match none of it
	order         order                  // its place in the queue
	waitsFor      []*claim               // downloads that must end before it starts; nil: it has never waited
	awaiting      bool                   // the messages are archived: their octets are asked for again
	budgeted      bool                   // octets came when they failed before: they take from the run's againBudget
	doubtful      map[uint32]bodyTraits  // bodies that came and whose sizes differ, of messages that failed, by UID
	unconfirmed   map[uint32]archive.Sum // sums of bodies that came once and need a second look, by UID
}

// isPiece reports whether the task has messages to fetch.
func (t *task) isPiece() bool { return t.snapshot != nil }

// order is when a task is done. All tasks of a lower order come first. Tasks above
// orderNormal are done one at a time: each may lose its connection, and many at once
// would look like a dead server.
type order int

const (
	orderNormal       order = iota
	orderSuspect            // the connection was lost over it
	orderFailedBefore       // in an earlier run
)

// A piece has so many messages that a round trip does not matter, and so few
// messages and octets that a large mailbox keeps every connection busy.
const (
	minPiece       = 500
	maxPiece       = 2000
	maxPieceOctets = 32 << 20
)

// queue is the tasks of a run that no worker has taken, and a count of what is pending.
type queue struct {
	maxWorkers func() int             // constant: how many workers there may be
	endMailbox func(*mailboxRun) bool // constant: called without the mutex when nothing of a mailbox is pending; true: scan it again

	mu      gosync.Mutex // guards all below
	cond    *gosync.Cond // signalled when a task was added or the queue ended
	tasks   []task
	pieces  map[*mailboxRun]int     // of tasks
	pending map[*mailboxRun]int     // tasks, and batches that are not committed
	total   int                     // of pending, and 1 while listing
	listing bool                    // there are no tasks yet: workers wait for them
	opener  map[*mailboxRun]*worker // whose batch the journal starts with, until that is submitted: no other worker takes pieces
	claims  map[state.Key]*claim    // on messages that are being downloaded
	probing *worker                 // which has a task that is not orderNormal; nil: none
	ended   error                   // why nothing more is started; nil: more is
	stopped bool                    // the run is cancelled
}

func newQueue(maxWorkers func() int, endMailbox func(*mailboxRun) bool) *queue {
	q := &queue{maxWorkers: maxWorkers, endMailbox: endMailbox, pieces: map[*mailboxRun]int{}, pending: map[*mailboxRun]int{}, opener: map[*mailboxRun]*worker{}, claims: map[state.Key]*claim{}}
	q.cond = gosync.NewCond(&q.mu)
	return q
}

// stop is called when the context of the run is done: no worker gets a task any more.
func (q *queue) stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopped = true
	q.cond.Broadcast()
}

// add queues tasks of the same order, and returns how many workers have work.
func (q *queue) add(tasks ...task) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.insert(tasks...)
	return q.waiting()
}

// insert queues tasks with q.mu locked. Of those that wait for all others the last
// one inserted comes first: so the one message at which connections are lost is found
// before the next is tried.
func (q *queue) insert(tasks ...task) {
	if len(tasks) == 0 {
		return
	}
	for i := range tasks {
		q.addPending(tasks[i].mailbox)
		if tasks[i].isPiece() {
			q.pieces[tasks[i].mailbox]++
		}
	}
	before := max(tasks[0].order, orderSuspect)
	i := len(q.tasks)
	for i > 0 && q.tasks[i-1].order >= before {
		i--
	}
	q.tasks = slices.Insert(q.tasks, i, tasks...)
	q.cond.Broadcast()
}

// waiting returns how many workers the queued tasks can keep busy, roughly and not beyond
// q.maxWorkers, with q.mu locked; 0 if nothing more is started.
func (q *queue) waiting() (n int) {
	if q.ended != nil || q.stopped {
		return 0
	}
	most := q.maxWorkers()
	for i := range q.tasks {
		if n >= most { // there may be thousands
			break
		}
		if t := &q.tasks[i]; q.opener[t.mailbox] == nil && t.isReady() {
			n += 1 + t.uids.Len()/minPiece
		}
	}
	return n
}

// setOpener leaves the pieces of a mailbox to the worker whose batch its journal
// starts with.
func (q *queue) setOpener(m *mailboxRun, w *worker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.opener[m] = w
}

// clearOpener lets all workers take pieces of a mailbox, and returns how many have
// work.
func (q *queue) clearOpener(m *mailboxRun) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.opener, m)
	q.cond.Broadcast()
	return q.waiting()
}

// take waits for the next task of w, and prefers pieces of a mailbox. ok is false when
// nothing is left to do, or nothing more is started.
func (q *queue) take(ctx context.Context, w *worker, preferred *mailboxRun) (t task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endProbingLocked(w)
	for ctx.Err() == nil && q.ended == nil && q.total > 0 {
		i := q.findPiece(w, preferred)
		if i < 0 {
			i = q.find(func(t *task) bool { return q.isFree(t, w) })
		}
		if i >= 0 {
			if q.tasks[i].order != orderNormal {
				q.probing = w
			}
			return q.cut(i), true
		}
		q.cond.Wait()
	}
	return task{}, false
}

// takePiece returns a piece of a mailbox, if there is one for w. It does not wait.
func (q *queue) takePiece(ctx context.Context, w *worker, m *mailboxRun) (t task, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endProbingLocked(w)
	if ctx.Err() != nil || q.ended != nil {
		return task{}, false
	}
	i := q.findPiece(w, m)
	if i < 0 {
		return task{}, false
	}
	return q.cut(i), true
}

// findPiece returns the index of a piece of m that w may take, -1 if there is none.
func (q *queue) findPiece(w *worker, m *mailboxRun) int {
	if q.pieces[m] == 0 {
		return -1
	}
	return q.find(func(t *task) bool {
		return t.mailbox == m && t.isPiece() && t.order == orderNormal && q.isFree(t, w)
	})
}

// find returns the index of the first task for which is returns true, -1 if there is none.
func (q *queue) find(is func(*task) bool) int {
	for i := range q.tasks {
		if is(&q.tasks[i]) {
			return i
		}
	}
	return -1
}

// isFree reports whether w may take a task now.
func (q *queue) isFree(t *task, w *worker) bool {
	opener := q.opener[t.mailbox]
	return (opener == nil || opener == w) && (t.order == orderNormal || q.probing == nil) && t.isReady()
}

// endProbing notes that w has no task any more that others wait for.
func (q *queue) endProbing(w *worker) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.endProbingLocked(w)
}

// endProbingLocked is endProbing with q.mu locked.
func (q *queue) endProbingLocked(w *worker) {
	if q.probing == w {
		q.probing = nil
		q.cond.Broadcast()
	}
}

// cut takes task i, or the first piece of it: the fewer messages it has, the smaller,
// so that all connections end together.
func (q *queue) cut(i int) task {
	t := q.tasks[i]
	n := maxPiece
	if workers := q.maxWorkers(); workers > 1 {
		n = min(n, max(minPiece, t.uids.Len()/(2*workers)))
	}
	head, rest := t.uids.Split(n)
	if rest.Empty() {
		q.remove(i)
		return t
	}
	q.tasks[i].uids = rest
	t.uids = head
	q.addPending(t.mailbox)
	return t
}

// remove takes task i out. The first is the usual one, and does not move the others.
func (q *queue) remove(i int) {
	if m := q.tasks[i].mailbox; q.tasks[i].isPiece() {
		if q.pieces[m]--; q.pieces[m] == 0 {
			delete(q.pieces, m)
		}
	}
	if i > 0 {
		q.tasks = slices.Delete(q.tasks, i, i+1)
		return
	}
	q.tasks[0] = task{}
	q.tasks = q.tasks[1:]
}

// addPending counts a task or batch of a mailbox that is to be done, with q.mu
// locked.
func (q *queue) addPending(m *mailboxRun) {
	q.pending[m]++
	q.total++
}

// addPendingBatch counts a batch of a mailbox that is to be committed.
func (q *queue) addPendingBatch(m *mailboxRun) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.addPending(m)
}

// donePending counts a task or batch that is done with, and returns how many workers
// have work. When nothing of the mailbox is pending any more, it is closed, or scanned
// again if its UIDs were renumbered meanwhile: never before all that was found under
// the old ones is in the journal. Closing may take long and is done without the mutex;
// the mailbox counts as pending until then, so that the run can't end before a scan is
// queued.
func (q *queue) donePending(m *mailboxRun) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.pending[m] == 1 {
		q.mu.Unlock()
		rescan := q.endMailbox(m)
		q.mu.Lock()
		if rescan {
			q.insert(task{mailbox: m})
		}
	}
	q.total--
	if q.pending[m]--; q.pending[m] == 0 {
		delete(q.pending, m)
	}
	if q.total == 0 {
		q.cond.Broadcast()
	}
	return q.waiting()
}

// startListing makes workers wait for tasks until endListing.
func (q *queue) startListing() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.listing = true
	q.total++
}

// endListing says that the tasks are queued.
func (q *queue) endListing() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.listing {
		q.listing = false
		q.total--
		q.cond.Broadcast()
	}
}

// end starts nothing more. Tasks under way go on. The first reason stays.
func (q *queue) end(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended == nil {
		q.ended = reason
	}
	q.cond.Broadcast()
}

// endCause returns why nothing more is started; nil: more is.
func (q *queue) endCause() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ended
}
