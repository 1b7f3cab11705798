package sync

import (
	"errors"
	"time"

	"archiverd/internal/logkey"
	"archiverd/internal/quota"
	"archiverd/internal/session"
	"archiverd/internal/wire"
)

// errRetired is returned when a worker is no longer wanted and the others go on.
var errRetired = errors.New("the server wants fewer connections")

// finish says whether err ends the run in good order, and has it so: what is
// under way is fetched to its end, and nothing more is begun.
func (r *round) finish(err error) bool {
	var spent *quota.ExceededError
	var away *session.BackoffError
	if !errors.As(err, &spent) && !errors.As(err, &away) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		r.over = err
	}
	r.cond.Broadcast()
	return true
}

// leaves is why mailboxes are left to the next run, "" if no reason is that.
func (r *round) leaves() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over == nil {
		return ""
	}
	return "left to the next run"
}

// away pauses all workers for a time that the server asked for, or ends the run
// if it is longer than a run waits.
func (r *round) away(wait time.Duration, cause error) {
	if err := r.j.Account.Retry.CheckStated(wait, cause); err != nil {
		r.finish(err)
		return
	}
	r.pause.Extend(wait)
}

// refused is what a worker does when the server refuses speed or connection: it
// leaves the server to the other workers, and only the last one tries again.
// They all keep quiet for as long as the server asked. The error ends the worker, or the
// run.
func (w *worker) refused(cause error) error {
	wait, err := w.backoff.Next(&w.r.j.Account, cause)
	if err != nil {
		return err
	}
	w.r.away(wire.RetryAfter(cause), cause)
	if w.r.retire(w) {
		w.r.j.Log.Info("the server takes fewer connections; going on with those that it has", logkey.Account, w.r.j.Account.Name, logkey.Error, cause)
		return errRetired
	}
	w.r.j.Log.Info("connecting again", logkey.Account, w.r.j.Account.Name, "wait", wait.Round(time.Millisecond), logkey.Error, cause)
	return session.Sleep(w.r.ctx, wait)
}
