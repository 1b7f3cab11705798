package sync

import (
	"context"
	"errors"
	"io"

	"archiverd/archive"
	"archiverd/internal/logkey"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// sizeError is returned for a body that can't be the message announced. It is an error of
// that message alone.
type sizeError struct {
	reason    string
	announced *int64 // octets; nil: as many as came, or not known
}

func (e *sizeError) Error() string { return e.reason }

// newSizeError returns a sizeError as an error of a message.
func newSizeError(md wire.Metadata, size int64, reason string) error {
	return &wire.Error{Class: wire.ClassMessage, Err: &sizeError{reason, announcedOther(md, size)}}
}

// announcedOther returns the size announced, if it is not that of the body.
func announcedOther(md wire.Metadata, size int64) *int64 {
	if !md.HasSize || md.Size == size {
		return nil
	}
	return &md.Size
}

// receivedBody is a body that is the last message of the open batch.
type receivedBody struct {
	bodyTraits
	sum     archive.Sum
	verdict verdict
	reason  string // what is wrong with it; "": nothing
}

// receiveJudged adds a body to the open batch, as receive does, and judges it. isStable
// says, if not nil, whether an earlier download brought the same octets.
func (w *worker) receiveJudged(t *task, md wire.Metadata, u uint32, size int64, body io.Reader, isStable func(archive.Sum) bool) (b receivedBody, err error) {
	if w.head == nil {
		w.head = make([]byte, 0, maxNotice)
	}
	isExact := md.HasSize && md.Size == size
	r := newBodyReader(body, size, isExact, w.head)
	if err := w.receive(t, md, u, size, r); err != nil {
		return b, err
	}
	b.bodyTraits, b.sum = r.traits, w.lastEvent().Sum
	if isExact {
		w.run.job.sizes.addExact()
	}
	w.judge(t, md, u, &b, isStable != nil && isStable(b.sum))
	return b, nil
}

// judge judges a body, which is an example of how the server's sizes differ.
func (w *worker) judge(t *task, md wire.Metadata, u uint32, b *receivedBody, isStable bool) {
	sizes := &w.run.job.sizes
	if md.HasSize && md.Size != b.size {
		sizes.addEarlier(w.run.earlierExamples)
		if x, ok := newSizeExample(exampleID(t.mailbox.directory().Dir, u), md.Size, &b.bodyTraits); ok {
			x.isStable = isStable
			sizes.add(x)
		}
	}
	b.verdict, b.reason = sizes.judge(md, &b.bodyTraits)
}

// lastEvent is that of the last message of the open batch.
func (w *worker) lastEvent() *archive.Event { return &w.batch.Events[w.batch.Len()-1] }

// receiveOfPiece receives a body of a FETCH for many. A message that needs a second look
// is put off: it is fetched by itself afterwards. isDone is false then.
func (w *worker) receiveOfPiece(t *task, u uint32, size int64, body io.Reader) (isDone bool, err error) {
	md := t.metadata[u]
	b, err := w.receiveJudged(t, md, u, size, body, nil)
	if err != nil {
		return false, err
	}
	switch {
	case b.verdict == isAwaiting:
		w.lastEvent().Announced = announcedOther(md, size)
		return true, nil
	case b.verdict == isMessage && (md.HasSize || w.run.job.sizes.acceptUnsized()):
		return true, nil
	}
	if t.unconfirmed == nil {
		t.unconfirmed = map[uint32]archive.Sum{}
	}
	t.unconfirmed[u] = b.sum
	return false, w.batch.Undo()
}

// resolveOne decides what becomes of the message that was just received by itself, and is
// the last of the open batch. If its size does not say whether it is whole, it is downloaded once
// more: the server must send the same octets.
func (w *worker) resolveOne(ctx context.Context, t *task, md wire.Metadata, u uint32, b *receivedBody) error {
	other, hasOther := t.unconfirmed[u]
	needsOther := b.verdict == isDoubtful && md.HasSize && md.Size != b.size || b.verdict == isMessage && !md.HasSize && !w.run.job.sizes.acceptUnsized()
	if needsOther && !hasOther {
		var err error
		if other, err = w.fetchSum(ctx, md, u); err != nil {
			return err
		}
		hasOther = true
		w.judge(t, md, u, b, other == b.sum)
	}
	isOther := hasOther && other != b.sum
	if isOther {
		delete(t.unconfirmed, u)
		w.run.job.sizes.remove(exampleID(t.mailbox.directory().Dir, u))
	}
	if isOther && b.reason != "" {
		b.reason += ", and other octets each time that it was fetched"
	}
	switch {
	case b.verdict == isMessage && needsOther && isOther:
		return newSizeError(md, b.size, "the server gave other octets each time that it was fetched, and does not say how many they are")
	case b.verdict == isMessage:
		return nil
	case b.verdict == isAwaiting:
		w.lastEvent().Announced = announcedOther(md, b.size)
		return nil
	case b.verdict == isDoubtful && w.mayKeep(t, u, b.sum):
		w.keepFailed(t, md, u, b)
		return errKept
	}
	return newSizeError(md, b.size, b.reason)
}

// fetchSum downloads a message and returns its sum.
func (w *worker) fetchSum(ctx context.Context, md wire.Metadata, u uint32) (sum archive.Sum, err error) {
	err = w.conn().FetchBody(ctx, u, func(size int64, body io.Reader) (err error) {
		if err := w.checkBodySize(u, md, size); err != nil {
			return err
		}
		sum, _, err = archive.Hash(body)
		return err
	})
	return sum, err
}

// errKept is returned when a message failed and its octets were kept, as the last event of
// the open batch.
var errKept = errors.New("the octets were kept")

// mayKeep reports whether octets of a failed message are to be kept: they are not those
// that the archive has of it, and others were not kept a short time ago.
func (w *worker) mayKeep(t *task, u uint32, sum archive.Sum) bool {
	g, ok := t.mailbox.currentPlan().again[u]
	return !ok || g.Path == "" || g.Sum != sum && g.IsDue(state.DayOf(w.run.job.Now()))
}

// keepFailed makes the last message of the open batch a failure that keeps its octets.
func (w *worker) keepFailed(t *task, md wire.Metadata, u uint32, b *receivedBody) {
	job := w.run.job
	job.Log.Warn("message could not be archived; what came is kept", logkey.Account, job.Account.Name, logkey.Mailbox, t.mailbox.listed.Name, logkey.UID, u, logkey.Error, b.reason)
	w.lastEvent().Announced = announcedOther(md, b.size)
	w.batch.Fail(b.reason)
	t.mailbox.countFailed(1)
	w.session.ResetBackoff()
	w.submitIfFull()
}

// retryDoubtful fetches messages once more that failed for their sizes, if these are now
// known to differ in that way: the first of a server's messages can't show it.
func (w *worker) retryDoubtful(ctx context.Context, t *task) error {
	for u, b := range t.doubtful {
		delete(t.doubtful, u)
		if md := t.metadata[u]; !md.HasSize || !w.run.job.sizes.isKnown(md.Size, &b) || t.mailbox.isVoid(t.snapshot) {
			continue
		}
		if err := w.fetchOne(ctx, t, u); err != nil && !session.IsMessageError(err) {
			t.uids = t.uids.Union(uid.Of(u))
			return err
		}
	}
	return nil
}
