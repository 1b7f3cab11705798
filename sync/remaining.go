package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"

	"archiverd/archive"
	"archiverd/internal/logkey"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// fetchRemaining goes on with messages that the server left out of its replies, or
// that were not asked for in a piece. Those that it no longer lists are expunged; the
// others are fetched one by one and by other means, and failed if that does not help.
func (w *worker) fetchRemaining(ctx context.Context, t *task) error {
	if t.uids.Empty() {
		return nil
	}
	m := t.mailbox
	isSame, err := w.subtractExpunged(ctx, t)
	if err != nil || !isSame {
		return err
	}
	for u := range t.uids.All() {
		if m.isVoid(t.snapshot) {
			return nil
		}
		if err := w.fetchOne(ctx, t, u); err != nil {
			if !session.IsMessageError(err) {
				return err
			}
			if err := w.recordFailed(m, uid.Of(u), err); err != nil {
				return err
			}
			w.session.ResetBackoff()
		}
		t.uids = t.uids.Subtract(uid.Of(u))
	}
	return w.retryDoubtful(ctx, t)
}

// subtractExpunged lists the mailbox again, and takes the messages out of the task that
// it no longer has. isSame is false if UIDVALIDITY has changed.
func (w *worker) subtractExpunged(ctx context.Context, t *task) (isSame bool, err error) {
	m := t.mailbox
	s, err := w.examine(ctx, m, false)
	if err != nil {
		return false, err
	}
	if s.UIDValidity != t.snapshot.UIDValidity {
		m.renumber("UIDVALIDITY")
		return false, nil
	}
	if err := session.CheckComplete(s.Examined, s.uids); err != nil {
		m.markIncomplete(err)
	}
	if overlooked := s.uids.Subtract(t.snapshot.uids).Subtract(uid.Above(t.snapshot.highest)); !overlooked.Empty() {
		m.markIncomplete(fmt.Errorf("UID SEARCH did not list all messages at first: UIDs %.100s were there", overlooked))
	}
	if !session.IsComplete(s.Examined, s.uids) { // it does not say what is gone: all are fetched, and fail by name
		return true, nil
	}
	expunged := t.uids.Subtract(s.uids)
	m.expunge(expunged)
	t.uids = t.uids.Subtract(expunged)
	return true, nil
}

// fetchOne downloads one message with a FETCH of its own, which accepts more than that
// of a piece. Which message a body is of may be known only after it, and whether it is
// the right one only after another download: until then the last message of the open
// batch may be undone.
func (w *worker) fetchOne(ctx context.Context, t *task, u uint32) error {
	md := t.metadata[u]
	if _, isUnconfirmed := t.unconfirmed[u]; (isUnconfirmed || !md.HasSize) && t.metadataTries < maxMetadataTries {
		second, err := w.fetchMetadata(ctx, uid.Of(u))
		if err != nil && wire.Classify(err) != wire.ClassMessage {
			t.countMetadataLoss()
			return err
		}
		if answer, ok := second[u]; ok {
			md = answer
		}
	}
	_, reservation, err := w.run.job.quota.Reserve(ctx, uid.Of(u), func(uint32) int64 { return messageCost(md) })
	if err != nil {
		return err
	}
	defer reservation.Release()
	var b receivedBody
	received := false
	err = w.conn().FetchBody(ctx, u, func(size int64, body io.Reader) (err error) {
		if err := w.checkBodySize(u, md, size); err != nil {
			return err
		}
		b, err = w.receiveJudged(t, md, u, size, body, func(sum archive.Sum) bool { return t.unconfirmed[u] == sum })
		received = err == nil
		return err
	})
	if !received {
		return err
	}
	if err == nil {
		err = w.resolveOne(ctx, t, md, u, &b)
	}
	if b.verdict == isDoubtful && md.HasSize && md.Size != b.size {
		t.addDoubtful(u, md, b.bodyTraits)
	}
	if err != nil {
		t.mailbox.countAskedAgain(u, b.size)
	}
	switch {
	case errors.Is(err, errKept):
		return nil
	case err != nil:
		return errors.Join(err, w.batch.Undo())
	}
	w.countReceived(t.mailbox, b.size)
	w.refundAgain(t, u)
	return nil
}

// addDoubtful notes that a message failed for its size, with what its body was like.
func (t *task) addDoubtful(u uint32, md wire.Metadata, b bodyTraits) {
	if t.doubtful == nil {
		t.doubtful = map[uint32]bodyTraits{}
	}
	b.head = nil
	t.doubtful[u] = b
	if old := t.metadata[u]; !old.HasSize || old.Size != md.Size {
		own := maps.Clone(t.metadata) // it is shared
		if own == nil {
			own = map[uint32]wire.Metadata{}
		}
		own[u] = md
		t.metadata = own
	}
}

// recordFailed records that messages could not be archived, and why. A reason that an
// earlier run has recorded is not written again.
func (w *worker) recordFailed(m *mailboxRun, uids uid.Set, cause error) error {
	job, p := w.run.job, m.currentPlan()
	before := p.failedBefore
	reason := safetext.Line(cause.Error())
	var sizes *sizeError
	isOfSize := errors.As(cause, &sizes)
	event := archive.Event{Kind: archive.Failed, Reason: reason}
	if isOfSize {
		event.Announced = sizes.announced
	}
	uids = uids.Subtract(p.awaiting()) // they are archived
	for u := range uids.All() {
		job.Log.Warn("message could not be archived", logkey.Account, job.Account.Name, logkey.Mailbox, m.listed.Name, logkey.UID, u, logkey.Error, reason)
		if g, isKnown := p.again[u]; before[u] == reason || isKnown && isOfSize && !g.IsDue(state.DayOf(job.Now())) {
			continue
		}
		batch, err := w.openBatch(m)
		if err != nil {
			return err
		}
		event.UID = u
		batch.Record(event)
		w.submitIfFull()
	}
	m.countFailed(uids.Len())
	return nil
}
