package sync

import (
	"context"
	"errors"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// worker has a connection, the mailbox open on it, and a batch. It is owned by its
// goroutine.
type worker struct {
	run     *run
	hasSlot bool // one of Job.Slots is taken

	conn       *wire.Conn // nil: not connected
	selected   *mailboxRun
	backoff    session.Backoff
	connecting chan struct{} // closed when what startConnecting started has ended; nil: nothing was
	connectErr error         // of it; valid when connecting is closed

	batch        *archive.Batch  // the open batch; nil: none
	batchMailbox *mailboxRun     // the batch's
	claims       []*claim        // that end when the batch is committed
	inFlight     *commit.Queue   // batches that are being committed
	last         *submittedBatch // the last of them; nil: there was none
	freeSpace    int64           // octets that may be written before free space is checked again
}

func newWorker(r *run) *worker {
	return &worker{run: r, inFlight: r.job.Committer.NewQueue(commit.MaxInFlight)}
}

// connectError is an error of connecting, which is no task's fault.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// connect opens the worker's connection.
func (w *worker) connect(ctx context.Context) error {
	c, err := w.run.job.Account.Connect(ctx)
	if err != nil {
		return &connectError{err}
	}
	w.conn = c
	return nil
}

// startConnecting starts to connect, if there is a slot, so that other work can be done
// while the server answers. awaitConnection must be called before the connection is
// used.
func (w *worker) startConnecting(ctx context.Context) {
	r := w.run
	if s := r.job.Slots; s != nil {
		if w.hasSlot = s.TryAcquire(1); !w.hasSlot {
			return
		}
	}
	w.connecting = make(chan struct{})
	r.pool.workers.Go(func() {
		defer close(w.connecting)
		defer func() {
			if p := recover(); p != nil {
				w.connectErr = r.job.panicked(p)
			}
		}()
		w.connectErr = w.connect(ctx)
	})
}

// awaitConnection waits for what startConnecting started, or connects.
func (w *worker) awaitConnection(ctx context.Context) error {
	if w.connecting == nil {
		return w.connect(ctx)
	}
	<-w.connecting
	w.connecting = nil
	return w.connectErr
}

// waitBackoff waits before the worker's next connection. It returns an error if there
// is to be none.
func (w *worker) waitBackoff(ctx context.Context, cause error) error {
	return w.backoff.Wait(ctx, &w.run.job.Account, w.run.job.Log, cause)
}

// loop does tasks until nothing is left, or the run ends.
func (w *worker) loop(ctx context.Context) {
	q := w.run.queue
	for {
		t, ok := q.takePiece(ctx, w, w.batchMailbox)
		if !ok {
			w.submitOpen()
			t, ok = q.take(ctx, w, w.selected)
		}
		if !ok || !w.doTask(ctx, &t) {
			break
		}
	}
	w.submitOpen()
	w.inFlight.WaitAll()
}

// doTask does a task, and decides what becomes of it if that fails. It reports
// whether the worker goes on.
func (w *worker) doTask(ctx context.Context, t *task) bool {
	r := w.run
	before := t.uids.Len()
	err := w.do(ctx, t)
	if err != nil {
		if t.uids.Len() < before {
			t.tries, t.metadataTries = -1, 0 // something was received: this try does not count
		}
		w.submitOpen() // messages received completely are committed
		w.inFlight.WaitAll()
		err = w.retry(ctx, t, err)
	}
	r.donePending(t.mailbox)
	if err == nil {
		return true
	}
	if r.endIfPostponed(err) || errors.Is(err, errRetired) {
		return false
	}
	if c := wire.Classify(err); c != wire.ClassUnknown && c != wire.ClassLogin && w.retire() {
		return false // the server has no more connections for us: the others go on
	}
	r.cancel(err)
	return true
}

// do does a task. After an error of the connection t.uids is what is left of it.
func (w *worker) do(ctx context.Context, t *task) error {
	r := w.run
	if t.isPiece() && t.mailbox.isVoid(t.snapshot) {
		return nil
	}
	r.job.meter.Change(func(p *progress.Progress) { p.Mailbox = t.mailbox.listed.Name })
	if err := r.pause.Wait(ctx); err != nil {
		return err
	}
	if err := r.job.quota.Check(); err != nil {
		return err
	}
	if w.conn == nil {
		if err := w.connect(ctx); err != nil {
			return err
		}
	}
	if !t.isPiece() {
		return w.scan(ctx, t.mailbox, t.tries == 0)
	}
	return w.fetch(ctx, t)
}

// drop closes the connection without logging out.
func (w *worker) drop() {
	w.selected = nil
	if w.conn != nil {
		_ = w.conn.Close() // it failed, or was stopped: the reason is known already
		w.conn = nil
	}
}

// close commits what is left and closes the worker. It logs out if the connection is
// usable, under outer; Run waits for that, the ledger does not.
func (w *worker) close(ctx, outer context.Context) {
	r := w.run
	if w.connecting != nil { // the run failed before it needed the connection
		r.cancel(nil)
		<-w.connecting
	}
	w.submitOpen()
	w.inFlight.WaitAll()
	isUsable := w.conn != nil && ctx.Err() == nil
	r.job.closing.Go(func() {
		if isUsable {
			_ = w.conn.LogoutNoWait(outer) // its answer changes nothing
		}
		w.drop()
		if w.hasSlot {
			r.job.Slots.Release(1)
		}
	})
}
