package sync

import (
	"context"
	"errors"
	"maps"
	gosync "sync"
	"sync/atomic"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/wire"
	"archiverd/state"
)

// run is one run of a Job. Its workers share it.
type run struct {
	job    *Job
	cancel context.CancelCauseFunc // ends the run; the first cause is the run's error

	recorded          map[string]state.Mailbox // what the archive had of the account at first, by directory; constant
	listedUIDValidity map[string]uint32        // as LIST-STATUS said, by directory; constant after choose

	queue     *queue        // own mutex
	pool      *pool         // own mutex
	pause     session.Pause // own mutex: until when no command is sent
	clock     commit.Clock  // own mutex
	samples   sampler       // own mutex
	again     *againBudget  // own mutex
	dirs      directories   // own mutex
	confirmed confirmations // atomic

	refusedBodies atomic.Int64 // bodies that were refused because of their size
}

// directories are the directories of the account's mailboxes. One new mailbox at a
// time is given its directory and makes it.
type directories struct {
	mu gosync.Mutex // guards the directories
	*archive.Directories
}

// find returns the directory of a mailbox, also of one that has none yet.
func (d *directories) find(account string, name archive.Name) (archive.MailboxDir, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.For(account, name)
}

// newRun returns a run and its context, which is done when outer is, or when the run has
// ended or failed. Connections log out under outer.
func newRun(outer context.Context, j *Job) (*run, context.Context) {
	ctx, cancel := context.WithCancelCause(outer)
	connectCtx, cancelConnecting := context.WithCancel(ctx)
	r := &run{job: j, cancel: cancel, listedUIDValidity: map[string]uint32{}}
	r.pool = newPool(max(1, j.Account.Connections), cancelConnecting, func() { r.runWorker(ctx, connectCtx, outer) })
	r.queue = newQueue(r.pool.maxWorkers, r.endMailbox)
	context.AfterFunc(ctx, r.queue.stop)
	return r, ctx
}

// archive does what Run says, and fills the result and the cursors of the mailboxes
// that are complete, by directory.
func (j *Job) archive(outer context.Context, result *state.Run, cursors map[string]state.Completed) error {
	if j.Committer.State.Broken() {
		if err := j.Committer.RebuildState(state.ErrDamaged); err != nil {
			return err
		}
	}
	if err := j.Committer.Archive.CheckFreeSpace(0); err != nil {
		return err
	}
	if err := j.Committer.Archive.Stopped(); err != nil {
		return err
	}
	if len(j.Committer.Archive.Losses(archive.Escape(j.Account.Name))) > 0 {
		// The losses are in the run's ledgers: here it counts only which are over.
		if _, err := j.Committer.CatchUp(); err != nil {
			return err
		}
	}
	r, ctx := newRun(outer, j)
	defer r.pool.workers.Wait() // after a panic, too
	defer r.cancel(nil)
	w := newWorker(r)
	defer w.close(ctx, outer)
	w.startConnecting(ctx)
	recorded, err := j.readRecorded()
	if err != nil {
		return err
	}
	r.pool.mayPreconnect, r.dirs.Directories = len(recorded) == 0, j.Committer.Archive.Directories()
	r.recorded, r.again = maps.Clone(recorded), newAgainBudget(recorded)
	listed, err := r.list(ctx, w)
	if err != nil {
		return err
	}
	work, err := r.choose(listed, recorded, result)
	if err != nil {
		return err
	}
	j.meter.Change(func(p *progress.Progress) { p.Stage, p.Mailboxes = "fetching", len(work) })
	err = r.work(ctx, w, work)
	for _, m := range work {
		l, cursor, lerr := m.reconcile(j.Committer.State, j.Committer.Archive.Archive, j.Policy.MaxMessage, r.endedEarly())
		if err == nil {
			err = lerr
		}
		if cursor != nil {
			cursor.Server, cursor.User = j.Account.Origin()
			cursors[m.directory().Dir] = *cursor
		}
		result.Mailboxes = append(result.Mailboxes, l)
		result.Warnings = append(result.Warnings, m.warnings()...)
	}
	result.Warnings = append(result.Warnings, r.clock.Warnings()...)
	for _, l := range result.Mailboxes {
		result.Sum.Add(l)
	}
	return err
}

// readRecorded returns what the archive has of the account, by directory.
func (j *Job) readRecorded() (map[string]state.Mailbox, error) {
	if j.Prepare != nil {
		if err := j.Prepare(); err != nil {
			return nil, err
		}
	}
	return j.Committer.State.Mailboxes(archive.Escape(j.Account.Name))
}

// work scans and fetches all mailboxes, starting with worker w. The error is what
// stopped it.
func (r *run) work(ctx context.Context, w *worker, work []*mailboxRun) error {
	tasks := make([]task, len(work))
	for i, m := range work {
		tasks[i] = task{mailbox: m}
	}
	r.add(tasks...)
	r.queue.endListing()
	w.loop(ctx)
	r.pool.cancelConnecting() // who is still connecting is not needed any more
	r.pool.workers.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.queue.endCause()
}

// add queues tasks, and starts workers for them.
func (r *run) add(tasks ...task) { r.startWorkers(r.queue.add(tasks...)) }

// donePending is called when a task or batch of the mailbox is done with.
func (r *run) donePending(m *mailboxRun) { r.startWorkers(r.queue.donePending(m)) }

// endMailbox is called by the queue, without its mutex, when nothing of a mailbox is
// pending. It reports whether the mailbox is to be scanned again.
func (r *run) endMailbox(m *mailboxRun) (rescan bool) {
	if m.endWork(r.job.Now()) {
		return true
	}
	r.job.meter.Change(func(p *progress.Progress) { p.Finished++ })
	return false
}

// endIfPostponed reports whether err leaves the remaining work to another run: the daily
// limit is reached, or the server wants no connection for some time. If so it ends the
// run: workers complete their tasks and start no others.
func (r *run) endIfPostponed(err error) bool {
	var exceeded *quota.ExceededError
	var backoff *session.BackoffError
	if !errors.As(err, &exceeded) && !errors.As(err, &backoff) {
		return false
	}
	r.queue.end(err)
	return true
}

// endedEarly returns why mailboxes are left to the next run; "": none is for such a
// reason.
func (r *run) endedEarly() string {
	if r.queue.endCause() == nil {
		return ""
	}
	return "left to the next run"
}

// pauseFor pauses all workers for a time that the server asked for, or ends the run
// if that is longer than a run waits.
func (r *run) pauseFor(wait time.Duration, cause error) {
	if err := r.job.Account.Retry.CheckStated(wait, cause); err != nil {
		r.endIfPostponed(err)
		return
	}
	r.pause.Extend(wait)
}

// isCertain reports whether one reply about a message is enough. A message that is to
// be excluded for its size is asked for twice.
func (r *run) isCertain(md wire.Metadata) bool {
	limit := r.job.Policy.MaxMessage
	return isComplete(md) && (limit == 0 || md.Size <= limit)
}

// isComplete reports whether everything is known of a message.
func isComplete(md wire.Metadata) bool {
	return md.HasFlags && md.HasSize && !md.InternalDate.IsZero() && md.Problem == ""
}
