package sync

import (
	"context"
	"io"

	"archiverd/internal/quota"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// fetch archives the messages of a piece: it asks for their metadata, excludes those
// that are too large, matches those that the archive has, and downloads the others. As
// it goes on it takes out of t.uids what is done.
func (w *worker) fetch(ctx context.Context, t *task) error {
	if w.conn().IsSlow() {
		if err := w.conn().Compress(ctx); err != nil {
			return err
		}
	}
	speculated, isSame, err := w.selectFor(ctx, t)
	if err != nil || !isSame {
		return err
	}
	if t.awaiting {
		return w.askAgain(ctx, t, speculated)
	}
	metadata := t.metadata
	if metadata == nil && t.metadataTries < maxMetadataTries {
		metadata, err = w.metadata(ctx, t.uids, speculated)
		if err != nil && !(t.uids.Len() == 1 && wire.Classify(err) == wire.ClassMessage) {
			t.countMetadataLoss()
			return err
		}
	}
	if err := w.matchReturned(ctx, t, metadata); err != nil {
		return err
	}
	w.exclude(t, metadata)
	if rest := t.cutOctets(metadata); !rest.Empty() {
		w.run.add(task{mailbox: t.mailbox, snapshot: t.snapshot, uids: rest, metadata: metadata, skipMatching: t.skipMatching, order: t.order})
	}
	if t.budgeted && !w.takeAgain(t, metadata) {
		return nil
	}
	t.metadata = metadata // for messages that are put off, or tried again
	claim, err := w.match(ctx, t)
	defer w.endClaimsAfter(claim)
	if err != nil {
		return err
	}
	if t.tries < maxTries-1 || t.uids.Len() > 1 {
		if err := w.fetchBodies(ctx, t); err != nil {
			return err
		}
	}
	return w.fetchRemaining(ctx, t)
}

// selectFor opens the task's mailbox, if another one is open, and asks for the metadata
// of the piece in the same write, and for what it knows the mailbox by. isSame is false
// if that is another, or UIDVALIDITY: the mailbox is to be scanned again then.
func (w *worker) selectFor(ctx context.Context, t *task) (metadata map[uint32]wire.Metadata, isSame bool, err error) {
	if w.selected == t.mailbox {
		return nil, true, nil
	}
	known, vary := t.mailbox.knownBy()
	q := wire.OpenQuery{CondStore: w.conn().HasCapability("CONDSTORE")}
	isWanted := t.metadata == nil && t.tries == 0 // separately after a loss: the next one then shows which of the two it is
	if isWanted {
		q.Metadata = []wire.MetadataQuery{{Set: t.uids, IDs: true}}
	}
	if t.tries < maxTries-1 && len(known) > 0 {
		q.Metadata = append(q.Metadata, wire.MetadataQuery{Set: keysOf(known)})
	}
	opened, err := w.open(ctx, t.mailbox, q)
	if err != nil {
		return nil, false, err
	}
	if opened.UIDValidity != t.snapshot.UIDValidity {
		t.mailbox.renumber("UIDVALIDITY")
		return nil, false, nil
	}
	for u, traits := range known {
		if md, ok := opened.metadata[u]; ok && vary.isSuspect(traits, md) {
			t.mailbox.renumber("UIDs' messages")
			return nil, false, nil
		}
	}
	if !isWanted {
		return nil, true, nil
	}
	return opened.metadata, true, nil
}

// maxMetadataTries is how many connections may be lost over the metadata of a task
// before it goes on without.
const maxMetadataTries = 2

// countMetadataLoss counts a connection lost over metadata. After the last one the task
// goes on without metadata, and has another try for that.
func (t *task) countMetadataLoss() {
	if t.metadataTries++; t.metadataTries == maxMetadataTries {
		t.tries = min(t.tries, 1)
	}
}

// metadata asks for flags, dates and sizes, unless known has them, and once more for
// messages of which something is missing in the answer: a date that is not archived
// now never will be. A UID without an answer, or with one that can't be parsed, may
// still have a body.
func (w *worker) metadata(ctx context.Context, uids uid.Set, known map[uint32]wire.Metadata) (out map[uint32]wire.Metadata, err error) {
	if out = known; out == nil {
		if out, err = w.fetchMetadata(ctx, uids); err != nil {
			return out, err
		}
	}
	var uncertain uid.Set
	for u := range uids.All() {
		if !w.run.isCertain(out[u]) {
			uncertain.Add(u)
		}
	}
	if uncertain.Empty() {
		return out, nil
	}
	second, err := w.fetchMetadata(ctx, uncertain)
	for u, md := range second {
		if _, isKnown := out[u]; !isKnown || isComplete(md) {
			out[u] = md
		}
	}
	if wire.Classify(err) == wire.ClassMessage {
		err = nil // the first answer stays
	}
	return out, err
}

// fetchMetadata asks for metadata once. Contradictory replies about a UID count as none.
func (w *worker) fetchMetadata(ctx context.Context, uids uid.Set) (map[uint32]wire.Metadata, error) {
	c := metadataCollector{metadata: make(map[uint32]wire.Metadata, uids.Len())}
	err := w.conn().FetchMetadata(ctx, wire.MetadataQuery{Set: uids, IDs: true}, func(md wire.Metadata) error {
		if uids.Contains(md.UID) {
			c.add(md)
		}
		return nil
	})
	return c.consistent(), err
}

// exclude takes messages out of the task that are larger than the configuration allows.
func (w *worker) exclude(t *task, metadata map[uint32]wire.Metadata) {
	limit := w.run.job.Policy.MaxMessage
	if limit == 0 {
		return
	}
	var excluded uid.Set
	for u, md := range metadata {
		if md.HasSize && md.Size > limit && t.uids.Contains(u) {
			excluded.Add(u)
		}
	}
	t.mailbox.exclude(excluded)
	t.uids = t.uids.Subtract(excluded)
}

// cutOctets reduces the piece to what one FETCH may bring, and returns the rest.
func (t *task) cutOctets(metadata map[uint32]wire.Metadata) (rest uid.Set) {
	n, octets := 0, int64(0)
	for u := range t.uids.All() {
		if octets += max(0, metadata[u].Size); n > 0 && octets > maxPieceOctets {
			t.uids, rest = t.uids.Split(n)
			return rest
		}
		n++
	}
	return uid.Set{}
}

// fetchBodies downloads the bodies of a piece into batches, as many at a time as the
// quota allows.
func (w *worker) fetchBodies(ctx context.Context, t *task) error {
	for uids := t.uids; !uids.Empty(); {
		part, reservation, err := w.run.job.quota.Reserve(ctx, uids, func(u uint32) int64 { return messageCost(t.metadata[u]) })
		if err == nil {
			err = w.fetchReserved(ctx, t, part, reservation)
		}
		if err != nil {
			return err
		}
		uids = uids.Subtract(part)
	}
	return nil
}

// messageCost returns the octets that downloading a message takes from the quota.
func messageCost(md wire.Metadata) int64 {
	if md.HasSize {
		return quota.MessageCost(max(0, md.Size))
	}
	return quota.MessageCost(quota.UnknownSize)
}

// fetchReserved downloads bodies with one FETCH, and releases the reservation.
func (w *worker) fetchReserved(ctx context.Context, t *task, uids uid.Set, reservation *quota.Reservation) error {
	defer reservation.Release()
	var received uid.Set
	defer func() { t.uids = t.uids.Subtract(received) }()
	return w.conn().FetchBodies(ctx, uids, func(u uint32, size int64, body io.Reader) error {
		if err := w.checkBodySize(u, t.metadata[u], size); err != nil {
			return err
		}
		if t.awaiting {
			received.Add(u)
			return w.receiveAgain(t, u, size, body)
		}
		isDone, err := w.receiveOfPiece(t, u, size, body)
		if err != nil || !isDone {
			return err
		}
		received.Add(u)
		reservation.Use(messageCost(t.metadata[u]))
		w.countReceived(t.mailbox, size)
		w.refundAgain(t, u)
		return nil
	})
}
