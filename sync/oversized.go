package sync

import (
	"context"
	"errors"
	"fmt"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// refusedBodyError is returned for a body of which nothing is read, because of the size
// that the server announces. To read on behind it would be to draw it: the connection is
// dropped, and the message is not asked for again in this run.
type refusedBodyError struct {
	uid uint32
	err error
}

func (e *refusedBodyError) Error() string { return e.err.Error() }
func (e *refusedBodyError) Unwrap() error { return e.err }

// maxRefusedBodies is how many bodies of a run are refused, each at the cost of a
// connection, before a mailbox with another one is given up.
const maxRefusedBodies = 20

// A body may be larger than RFC822.SIZE said: some servers count line ends as one octet.
const (
	maxSizeFactor = 2
	maxSizeExcess = 16 << 20 // octets beyond that
)

// checkBodySize returns a *refusedBodyError if a body is larger than the configuration
// allows, or than the server's own RFC822.SIZE makes credible.
func (w *worker) checkBodySize(u uint32, md wire.Metadata, size int64) error {
	limit := w.run.job.Policy.MaxMessage
	if limit > 0 && size > limit {
		return &refusedBodyError{u, fmt.Errorf("the body has %d octets, over the limit of %d, and RFC822.SIZE said %d", size, limit, md.Size)}
	}
	if md.HasSize && size > maxSizeFactor*md.Size+maxSizeExcess {
		return &refusedBodyError{u, fmt.Errorf("the body has %d octets, and RFC822.SIZE said %d", size, md.Size)}
	}
	return nil
}

// retryWithout goes on with a task without the message whose body was refused.
func (w *worker) retryWithout(ctx context.Context, t *task, refused *refusedBodyError) error {
	w.drop()
	if !t.uids.Contains(refused.uid) { // nobody asked for it
		return w.retryLost(ctx, t, &wire.Error{Class: wire.ClassProtocol, Err: refused})
	}
	if err := w.recordFailed(t.mailbox, uid.Of(refused.uid), refused); err != nil {
		return err
	}
	if t.uids = t.uids.Subtract(uid.Of(refused.uid)); t.uids.Empty() {
		return nil
	}
	if w.run.refusedBodies.Add(1) > maxRefusedBodies {
		t.mailbox.giveUp(fmt.Errorf("over %d bodies with sizes that are not accepted: %w", maxRefusedBodies, refused))
		return nil
	}
	w.run.add(*t)
	return nil
}

// asRefusedBody returns the refusal of a body that err is; nil for another error.
func asRefusedBody(err error) *refusedBodyError {
	var refused *refusedBodyError
	var tooLarge *wire.BodyTooLargeError
	if errors.As(err, &tooLarge) && tooLarge.UID != 0 {
		return &refusedBodyError{tooLarge.UID, tooLarge}
	}
	errors.As(err, &refused)
	return refused
}
