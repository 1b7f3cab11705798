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
	run      *run
	session  *session.Session // with one of Job.Slots
	selected *mailboxRun

	batch        *archive.Batch  // the open batch; nil: none
	batchMailbox *mailboxRun     // the batch's
	claims       []*claim        // that end when the batch is committed
	inFlight     *commit.Queue   // batches that are being committed
	last         *submittedBatch // the last of them; nil: there was none
	head         []byte          // for the first octets of a body
	freeSpace    int64           // octets that may be written before free space is checked again
}

func newWorker(r *run) *worker {
	j := r.job
	return &worker{run: r, session: session.New(&j.Account, j.Slots, j.Log), inFlight: j.Committer.NewQueue(commit.MaxInFlight)}
}

// connectError is an error of connecting, which is no task's fault.
type connectError struct{ err error }

func (e *connectError) Error() string { return e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// conn returns the worker's connection; nil: it is not connected.
func (w *worker) conn() *wire.Conn { return w.session.Conn() }

// startConnecting starts to connect, if there is a slot, so that other work can be done
// while the server answers.
func (w *worker) startConnecting(ctx context.Context) {
	if w.session.TryAcquire() {
		w.session.Start(ctx, w.run.job.panicked)
	}
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

// doTask does a task. If the task fails, retry decides what is done about it. It reports
// whether the worker continues.
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
	if err := w.session.Connect(ctx); err != nil {
		return &connectError{err}
	}
	if !t.isPiece() {
		return w.scan(ctx, t)
	}
	return w.fetch(ctx, t)
}

// drop closes the connection without logging out.
func (w *worker) drop() {
	w.selected = nil
	w.session.Drop()
}

// close commits the open batch and closes the connection in the background, which Run
// waits for. It logs out, under outer, unless ctx is done.
func (w *worker) close(ctx, outer context.Context) {
	w.submitOpen()
	w.inFlight.WaitAll()
	isUsable := ctx.Err() == nil
	w.run.job.closing.Go(func() {
		if !isUsable {
			w.session.Drop()
		}
		w.session.CloseNoWait(outer)
	})
}
