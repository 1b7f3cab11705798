package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// worker owns a connection, the mailbox open on it, and a batch.
type worker struct {
	r        *round
	slot     bool
	c        *wire.Conn
	selected *box
	backoff  session.Backoff
	greeted  chan struct{} // closed when the connection that greet begins has been made, or not; nil: none was begun
	failure  error         // of that

	room     int64 // octets that may be written before free space is asked for again
	batch    *archive.Batch
	of       *box          // the batch's mailbox
	inFlight *commit.Queue // batches that are being committed
	last     *submitted    // the last of them; nil: there was none
	claims   []*claim      // that end when the batch is committed
}

// submitted is a batch that was handed to the committer.
type submitted struct {
	// Under the round's mutex.
	done   bool     // it is committed, or failed
	claims []*claim // that end with it
}

func newWorker(r *round) *worker {
	return &worker{r: r, inFlight: r.j.Committer.NewQueue(commit.MaxInFlight)}
}

// connect opens the worker's connection.
func (w *worker) connect(ctx context.Context) error {
	c, err := w.r.j.Account.Connect(ctx)
	if err != nil {
		return &connectError{err}
	}
	w.c = c
	return nil
}

// greet begins to connect, if there is a slot: what the server takes to answer is
// time for other things. list goes on from there.
func (w *worker) greet() {
	if s := w.r.j.Slots; s != nil {
		if w.slot = s.TryAcquire(1); !w.slot {
			return
		}
	}
	w.greeted = make(chan struct{})
	w.r.wait.Go(func() {
		defer close(w.greeted)
		defer func() {
			if p := recover(); p != nil {
				w.failure = w.r.j.panicked(p)
			}
		}()
		w.failure = w.connect(w.r.ctx)
	})
}

// answer waits for what greet began; else it connects.
func (w *worker) answer() error {
	if w.greeted == nil {
		return w.connect(w.r.ctx)
	}
	<-w.greeted
	w.greeted = nil
	return w.failure
}

// join connects a further worker, if there is a slot and a connection for it.
func (w *worker) join() bool {
	r := w.r
	if s := r.j.Slots; s != nil {
		if w.slot = s.TryAcquire(1); !w.slot {
			return false
		}
	}
	err := w.connect(r.come)
	if err != nil && r.come.Err() == nil {
		r.away(wire.RetryAfter(err), err)
		r.j.Log.Info("the server takes no further connection; going on with fewer", logkey.Account, r.j.Account.Name, logkey.Error, err)
	}
	return err == nil
}

// connectError is an error of connecting: no task's fault.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// list connects and asks for the mailboxes, as often as it may.
func (r *round) list(w *worker) ([]wire.Mailbox, error) {
	if s := r.j.Slots; s != nil && !w.slot {
		if err := s.Acquire(r.ctx, 1); err != nil {
			return nil, err
		}
		w.slot = true
	}
	r.j.meter.Change(func(p *progress.Progress) { p.Stage = "connecting" })
	for {
		err := w.answer()
		if err == nil {
			r.ahead()
			r.j.meter.Change(func(p *progress.Progress) { p.Stage = "listing" })
			var list []wire.Mailbox
			if list, err = w.c.List(r.ctx); err == nil {
				return list, nil
			}
			if wire.Classify(err) == wire.ClassMailbox {
				return nil, err
			}
		}
		w.drop()
		if err := w.pause(err); err != nil {
			return nil, err
		}
	}
}

// pause waits before the worker's next connection.
func (w *worker) pause(cause error) error {
	return w.backoff.Wait(w.r.ctx, &w.r.j.Account, w.r.j.Log, cause)
}

// run does tasks until none are left or the run is stopped.
func (w *worker) run() {
	for {
		t, ok := w.r.take(w, w.of, true)
		if !ok {
			w.flush()
			t, ok = w.r.take(w, w.selected, false)
		}
		if !ok {
			break
		}
		wanted := t.want.Len()
		err := w.do(&t)
		if err != nil {
			if t.want.Len() < wanted {
				t.tries, t.bare = -1, 0 // this one does not count
			}
			w.flush() // what is complete is committed
			w.inFlight.WaitAll()
			err = w.failed(&t, err)
		}
		w.r.release(t.box)
		if err != nil {
			if w.r.finish(err) || errors.Is(err, errRetired) {
				break
			}
			if c := wire.Classify(err); c != wire.ClassUnknown && c != wire.ClassLogin && w.r.retire(w) {
				break // the server has no more connections for us: the others go on
			}
			w.r.stop(err)
		}
	}
	w.flush()
	w.inFlight.WaitAll()
}

// do does a task. Where the error is the connection's, t.want is what remains.
func (w *worker) do(t *task) error {
	if t.piece && t.box.gaveUp(t.generation) {
		return nil
	}
	w.r.j.meter.Change(func(p *progress.Progress) { p.Mailbox = t.box.listed.Name })
	if err := w.r.pause.Wait(w.r.ctx); err != nil {
		return err
	}
	if err := w.r.j.quota.Check(); err != nil {
		return err
	}
	if w.c == nil {
		if err := w.connect(w.r.ctx); err != nil {
			return err
		}
	}
	if !t.piece {
		return w.survey(w.r.ctx, t.box, t.tries == 0)
	}
	return w.fetch(w.r.ctx, t)
}

// failed decides what becomes of a task that failed. It returns an error that
// ends the run, nil to go on.
func (w *worker) failed(t *task, err error) error {
	b := t.box
	if cause := context.Cause(w.r.ctx); cause != nil {
		return cause
	}
	var spent *quota.ExceededError
	if errors.As(err, &spent) {
		w.r.add(*t)
		return err
	}
	var connecting *connectError
	if errors.As(err, &connecting) {
		w.r.add(*t)
		if c := wire.Classify(err); c == wire.ClassBusy || c == wire.ClassThrottled {
			return w.refused(err)
		}
		return w.pause(err)
	}
	switch wire.Classify(err) {
	case wire.ClassMailbox, wire.ClassLogin: // we are logged in: it is this mailbox that we may not see
		b.failed(err)
		return nil
	case wire.ClassMessage: // a NO for the piece: the message that it is for will be found
		switch {
		case !t.piece:
			b.failed(err)
		case t.want.Len() == 1:
			return w.record(b, t.want, err)
		default:
			w.r.add(t.halves()...)
		}
		return nil
	case wire.ClassUnknown:
		w.drop() // an error while receiving leaves the connection in the middle of it
		return b.local(err)
	case wire.ClassThrottled: // not the message's fault
		w.drop()
		w.r.add(*t)
		return w.refused(err)
	case wire.ClassTransient, wire.ClassBusy, wire.ClassProtocol:
		w.drop()
		again, poison := t.again(err)
		if poison != nil {
			if err := w.record(b, t.want, poison); err != nil {
				return err
			}
			if c := wire.Classify(err); c == wire.ClassTransient || c == wire.ClassProtocol {
				w.backoff.Reset() // it is the message; a server that is busy may be so for all
			}
		}
		w.r.add(again...)
		return w.pause(err)
	}
	return err
}

// deathsBorne is how many connections a run may lose over one mailbox.
const deathsBorne = 100

// again says what is left of a task over which the connection was lost: the
// task once more; then, if that brings nothing, in parts, so that the one
// message at which the server or its connection dies is found; and if it is one
// message alone, the reason for giving it up.
func (t *task) again(cause error) (again []task, poison error) {
	b := t.box
	b.mu.Lock()
	b.deaths++
	if b.deaths > deathsBorne && b.err == nil {
		b.err = fmt.Errorf("lost %d connections over it: %w", b.deaths, cause)
	}
	b.mu.Unlock()
	t.tries++
	if t.tries > 0 {
		t.late = max(t.late, suspect)
	}
	switch {
	case t.piece && t.want.Empty(): // all had come when it was lost
		return nil, nil
	case !t.piece:
		if t.tries >= 3 {
			b.failed(cause)
			return nil, nil
		}
		return []task{*t}, nil
	case t.tries < 2:
		return []task{*t}, nil
	case t.want.Len() > 1:
		parts := t.halves()
		parts[0].tries, parts[0].bare = 1, min(t.bare, 1)
		return parts, nil
	case t.tries < 3:
		return []task{*t}, nil
	}
	if op := (*net.OpError)(nil); errors.As(cause, &op) {
		cause = op.Err // without our port, which is another each time
	}
	return nil, fmt.Errorf("the connection is lost whenever it is fetched: %w", cause)
}

// halves are the first message, where the server most likely stumbled, and the
// two halves of the others.
func (t *task) halves() []task {
	first, rest := t.want.Split(1)
	left, right := rest.Split((rest.Len() + 1) / 2)
	var out []task
	for _, want := range []uid.Set{first, left, right} {
		if !want.Empty() {
			out = append(out, task{box: t.box, piece: true, generation: t.generation, want: want, blind: t.blind, late: t.late})
		}
	}
	return out
}

// open returns the worker's batch for b, begun if there is none.
func (w *worker) open(b *box) (*archive.Batch, error) {
	if w.batch != nil && w.of == b {
		return w.batch, nil
	}
	batch, err := b.m.Batch()
	if err != nil {
		return nil, err
	}
	w.begin(b, batch)
	return batch, nil
}

// begin makes batch the worker's.
func (w *worker) begin(b *box, batch *archive.Batch) {
	w.flush()
	w.batch, w.of = batch, b
	w.r.hold(b)
}

// full sends the worker's batch off if it is large or old enough.
func (w *worker) full() {
	b := w.batch
	if commit.IsFull(b, w.r.j.Now()) {
		w.flush()
	}
}

// flush sends the worker's batch off.
func (w *worker) flush() {
	if w.batch == nil {
		return
	}
	batch, b, claims := w.batch, w.of, w.claims
	w.batch, w.of, w.claims = nil, nil, nil
	w.send(b, batch)
	w.yield(claims...)
	w.r.opened(b)
	w.r.release(b)
}

// send hands a batch to the committer, when there is room in front of it.
func (w *worker) send(b *box, batch *archive.Batch) {
	if batch.Len() == 0 {
		if err := batch.Discard(); err != nil {
			b.failed(err)
		}
		return
	}
	if _, err := w.r.j.quota.Flush(); err != nil { // so that the commit stores it
		w.r.j.Log.Warn("what was received is not counted", logkey.Account, w.r.j.Account.Name, logkey.Error, err)
	}
	last := &submitted{}
	w.last = last
	w.r.hold(b)
	w.inFlight.Submit(batch, func(batch *archive.Batch) {
		b.committed(batch)
		w.r.ended(last)
		w.r.release(b)
	})
}

// drop closes the connection without a word.
func (w *worker) drop() {
	w.selected = nil
	if w.c != nil {
		_ = w.c.Close() // it failed, or was stopped: why is known already
		w.c = nil
	}
}

// close ends the worker: politely where the connection still stands.
func (w *worker) close() {
	if w.greeted != nil { // nothing came of the run: nothing is to be asked of the server
		w.r.stop(nil)
		<-w.greeted
	}
	w.flush()
	w.inFlight.WaitAll()
	polite := w.c != nil && w.r.ctx.Err() == nil
	// The ledger need not wait for the server's good-bye.
	w.r.j.leaving.Go(func() {
		if polite {
			_ = w.c.LogoutNoWait(w.r.outer) // what it says to our leaving is of no interest
		}
		w.drop()
		if w.slot {
			w.r.j.Slots.Release(1)
		}
	})
}

// incomplete says whether an error is of a body that did not come whole.
func incomplete(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, archive.ErrWrite)
}
