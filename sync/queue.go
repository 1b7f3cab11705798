package sync

import (
	"context"
	"slices"

	"archiverd/archive"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// task is a mailbox to survey, or messages of it to fetch.
type task struct {
	box        *box
	piece      bool                     // messages to fetch; else a survey
	generation int                      // of the survey that found the messages
	want       uid.Set                  // the messages, as far as they are not archived yet
	metas      map[uint32]wire.Metadata // theirs, and others'; nil: to be asked for. Nobody changes it
	tries      int                      // times the connection was lost over it with nothing received
	bare       int                      // of those, over its metadata
	doubts     map[uint32]archive.Sum   // what came of messages that it may not have been of
	blind      bool                     // it was lost over headers: none of them is taken for known
	after      []*claim                 // what it waits for; nil: it never waited
	late       int                      // 0, or why it waits until all else is done
}

// Why tasks come late, the later the higher. Of late tasks one is done at a
// time, so that connections lost over it are not taken for a dead server.
const (
	suspect      = 1 // the connection was lost over it
	failedBefore = 2 // in an earlier run
)

// add queues tasks, and starts workers for them as far as there may be more.
func (r *round) add(tasks ...task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(tasks...)
}

// put is add for who holds the mutex. Of the late ones the last put comes first:
// the one message at which connections die is then found before the next is
// begun with.
func (r *round) put(tasks ...task) {
	if len(tasks) == 0 {
		return
	}
	for _, t := range tasks {
		r.held++
		t.box.open++
	}
	before := max(tasks[0].late, suspect) // they are all alike
	i := slices.IndexFunc(r.queue, func(t task) bool { return t.late >= before })
	if i < 0 {
		i = len(r.queue)
	}
	r.queue = slices.Insert(r.queue, i, tasks...)
	r.cond.Broadcast()
	r.grow()
}

// grow starts workers while more tasks wait than there are workers.
func (r *round) grow() {
	for r.count+r.joining < r.most && r.ctx.Err() == nil && r.over == nil && r.waiting() > r.count+r.joining {
		r.joining++
		r.wait.Go(r.another)
	}
}

// waiting counts pieces that any worker may take, as far as it matters.
func (r *round) waiting() int {
	n := 0
	for _, t := range r.queue {
		if t.box.opener == nil && t.ready() {
			n += 1 + t.want.Len()/pieceLeast
		}
	}
	return n
}

// opening leaves the pieces of a mailbox to the worker that holds the batch
// with which its journal begins; opened lets the others at them.
func (r *round) opening(b *box, w *worker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.opener = w
}

func (r *round) opened(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.opener = nil
	r.cond.Broadcast()
	r.grow()
}

// take returns the next task for w, preferring the mailbox open. With only set,
// it returns none but that mailbox's and does not wait. ok is false when
// nothing is left to do, or the run is stopped or over.
func (r *round) take(w *worker, open *box, only bool) (t task, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noLonger(w)
	for r.ctx.Err() == nil && r.over == nil && r.held > 0 {
		free := func(t task) bool {
			return (t.box.opener == nil || t.box.opener == w) && (t.late == 0 || r.delicate == nil) && t.ready()
		}
		i := slices.IndexFunc(r.queue, func(t task) bool { return t.box == open && t.piece && t.late == 0 && free(t) })
		if i < 0 && !only {
			i = slices.IndexFunc(r.queue, free)
		}
		if i >= 0 {
			if r.queue[i].late > 0 {
				r.delicate = w
			}
			return r.pick(i), true
		}
		if only {
			return task{}, false
		}
		r.cond.Wait()
	}
	return task{}, false
}

// noLonger says that w has no late task any more.
func (r *round) noLonger(w *worker) {
	if r.delicate == w {
		r.delicate = nil
		r.cond.Broadcast()
	}
}

// pick takes task i out of the queue, or the first piece of it: the fewer messages
// are left, the smaller, so that all connections come to the end together.
func (r *round) pick(i int) task {
	t := r.queue[i]
	n := pieceMost
	if r.most > 1 {
		n = min(n, max(pieceLeast, t.want.Len()/(2*r.most)))
	}
	head, rest := t.want.Split(n)
	if rest.Empty() {
		r.queue = slices.Delete(r.queue, i, i+1)
		return t
	}
	r.queue[i].want = rest
	t.want = head
	r.held++
	t.box.open++
	return t
}

// hold and release count what is still to do for a mailbox: tasks, and batches
// that are not committed. When nothing is left the mailbox is finished, or
// surveyed again if its UIDs were renumbered meanwhile: never before all that
// was found under the old ones is in the journal.
func (r *round) hold(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held++
	b.open++
}

func (r *round) release(b *box) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held--
	b.open--
	if b.open == 0 && b.finish() {
		r.put(task{box: b})
	}
	if r.held == 0 {
		r.cond.Broadcast()
	}
}

// ahead has the further workers connect while the first one still lists, where
// there will be work for all: in an account that was never archived. They wait
// until begin says that the tasks are there.
func (r *round) ahead() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.early || r.ctx.Err() != nil {
		return
	}
	r.early, r.listing = false, true
	r.held++
	for ; r.count+r.joining < r.most; r.joining++ {
		r.wait.Go(r.another)
	}
}

// another is a further worker. It does not insist on its connection.
func (r *round) another() {
	defer r.contain()
	w := newWorker(r)
	defer w.close()
	if r.joined(w.join()) {
		w.run()
	}
}

// contain makes a panic of a further worker the run's error. Call it deferred.
func (r *round) contain() {
	if p := recover(); p != nil {
		r.stop(r.j.panicked(p))
	}
}

// joined counts a further worker that has its connection; without one there are
// no more to be had.
func (r *round) joined(ok bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joining--
	if ok {
		r.count++
	} else {
		r.most = max(1, r.count+r.joining)
	}
	return ok
}

// retire lets a worker go that gets no connection any more. The last one may not.
func (r *round) retire(w *worker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count < 2 {
		return false
	}
	r.count--
	r.most = r.count + r.joining
	r.noLonger(w)
	return true
}

// begin lets go of the workers that came ahead, if any did.
func (r *round) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listing {
		r.listing = false
		r.held--
		r.cond.Broadcast()
	}
}

// work does all boxes, beginning with worker w. The error is what stopped it.
func (r *round) work(w *worker, boxes []*box) error {
	tasks := make([]task, len(boxes))
	for i, b := range boxes {
		tasks[i] = task{box: b}
	}
	r.add(tasks...)
	r.begin()
	w.run()
	r.late() // who is still connecting need not come any more
	r.wait.Wait()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}
