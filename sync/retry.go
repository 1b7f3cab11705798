package sync

import (
	"context"
	"errors"
	"fmt"
	"net"

	"archiverd/internal/logkey"
	"archiverd/internal/quota"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// errRetired is returned when a worker ends because the server refuses its connection,
// and other workers continue.
var errRetired = errors.New("the server wants fewer connections")

// maxTries is how many connections may be lost over a scan, or over one message,
// before it is given up.
const maxTries = 3

// retry decides what becomes of a task that failed. It returns an error that ends the
// run or the worker; nil: the worker goes on.
func (w *worker) retry(ctx context.Context, t *task, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if exceeded := (*quota.ExceededError)(nil); errors.As(err, &exceeded) {
		w.run.add(*t)
		return err
	}
	if failed := (*connectError)(nil); errors.As(err, &failed) {
		w.run.add(*t)
		if c := wire.Classify(err); c == wire.ClassBusy || c == wire.ClassThrottled {
			return w.refused(ctx, err)
		}
		return w.session.Backoff(ctx, err)
	}
	if refused := asRefusedBody(err); refused != nil {
		return w.retryWithout(ctx, t, refused)
	}
	switch wire.Classify(err) {
	case wire.ClassMailbox, wire.ClassLogin: // we are logged in: it is this mailbox that we may not read
		t.mailbox.giveUp(err)
		return nil
	case wire.ClassMessage:
		return w.retryRefused(t, err)
	case wire.ClassUnknown:
		w.drop() // an error while receiving leaves the connection in the middle of a reply
		return t.mailbox.giveUpLocal(err)
	case wire.ClassThrottled: // not the message's fault
		w.drop()
		w.run.add(*t)
		return w.refused(ctx, err)
	case wire.ClassTransient, wire.ClassBusy, wire.ClassProtocol:
		return w.retryLost(ctx, t, err)
	}
	return err
}

// retryRefused goes on after a NO for a task: in smaller pieces, so that the message is
// found that it is for.
func (w *worker) retryRefused(t *task, err error) error {
	switch {
	case !t.isPiece():
		t.mailbox.giveUp(err)
	case t.uids.Len() == 1:
		return w.recordFailed(t.mailbox, t.uids, err)
	default:
		w.run.add(t.split()...)
	}
	return nil
}

// retryLost queues what is left of a task over which the connection was lost, and waits
// before the next connection.
func (w *worker) retryLost(ctx context.Context, t *task, cause error) error {
	w.drop()
	rest, reason := t.afterLoss(cause)
	if reason != nil {
		if err := w.recordFailed(t.mailbox, t.uids, reason); err != nil {
			return err
		}
		if c := wire.Classify(cause); c == wire.ClassTransient || c == wire.ClassProtocol {
			w.session.ResetBackoff() // the message is at fault; a busy server, in contrast, may be busy for all messages
		}
	}
	w.run.add(rest...)
	return w.session.Backoff(ctx, cause)
}

// afterLoss returns what is to be done after the connection was lost over a task: first
// the same task again, then its parts, to find the one message at which the connection
// is lost. For a task of that message alone, reason is why it failed.
func (t *task) afterLoss(cause error) (rest []task, reason error) {
	t.mailbox.countLostConnection(t, cause)
	t.tries++
	if isBeyondLimit(cause) && t.uids.Len() > 1 {
		t.tries = max(t.tries, maxTries-1) // the same answer comes again
	}
	if t.tries > 0 {
		t.order = max(t.order, orderSuspect)
	}
	switch {
	case !t.isPiece():
		if t.tries >= maxTries {
			t.mailbox.giveUp(cause)
			return nil, nil
		}
		return []task{*t}, nil
	case t.uids.Empty(): // all had been received when it was lost
		return nil, nil
	case t.tries < maxTries-1:
		return []task{*t}, nil
	case t.uids.Len() > 1:
		parts := t.split()
		parts[0].tries, parts[0].metadataTries = 1, min(t.metadataTries, 1)
		return parts, nil
	case t.tries < maxTries:
		return []task{*t}, nil
	}
	if op := (*net.OpError)(nil); errors.As(cause, &op) {
		cause = op.Err // without our port, which differs each time
	}
	return nil, fmt.Errorf("the connection is lost whenever it is fetched: %w", cause)
}

// isBeyondLimit reports whether the connection was given up because the server's answer
// exceeds a limit.
func isBeyondLimit(err error) bool { return errors.Is(err, wire.ErrLimit) }

// split returns the first message of a piece, which most likely is the one that the
// server failed at, and the two halves of the others.
func (t *task) split() (parts []task) {
	first, rest := t.uids.Split(1)
	left, right := rest.Split((rest.Len() + 1) / 2)
	for _, uids := range []uid.Set{first, left, right} {
		if !uids.Empty() {
			parts = append(parts, task{mailbox: t.mailbox, snapshot: t.snapshot, uids: uids, skipMatching: t.skipMatching, order: t.order})
		}
	}
	return parts
}

// refused is called when the server refuses or throttles a connection. The worker ends,
// unless it is the last one, which waits and tries again. All workers pause for as long
// as the server asked. The error ends the worker or the run.
func (w *worker) refused(ctx context.Context, cause error) error {
	job := w.run.job
	wait, err := w.session.NextWait(cause)
	if err != nil {
		return err
	}
	w.run.pauseFor(wire.RetryAfter(cause), cause)
	if w.retire() {
		job.Log.Info("the server's connection limit is reached; continuing with fewer connections", logkey.Account, job.Account.Name, logkey.Error, cause)
		return errRetired
	}
	return w.session.Wait(ctx, wait, cause)
}
