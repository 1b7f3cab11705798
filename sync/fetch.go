package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"archiverd/archive"
	"archiverd/internal/logkey"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// A piece has so many messages that a round trip vanishes beside them, and so few
// messages and octets that a big mailbox feeds every connection.
const (
	pieceLeast  = 500
	pieceMost   = 2000
	pieceOctets = 32 << 20
)

// Free space is asked for again when a worker has written so many octets: little
// beside what is kept free. A small file takes more than its octets.
const (
	roomOctets   = 256 << 10
	fileOverhead = 4 << 10
)

// mostMisses is how many messages of a mailbox may fail one after the other
// before the rest of it is left to the next run.
const mostMisses = 1000

// fetch archives the messages of a piece. As it goes on it takes out of t.want
// what is done with.
func (w *worker) fetch(ctx context.Context, t *task) error {
	b, metas := t.box, t.metas
	var told map[uint32]wire.Metadata
	if w.c.IsSlow() {
		if err := w.c.Compress(ctx); err != nil {
			return err
		}
	}
	if w.selected != b {
		l := wire.OpenQuery{CondStore: w.c.HasCapability("CONDSTORE")}
		if metas == nil && t.tries == 0 { // in one flight; what dies of it shows next time which of the two it was
			l.Metadata = []wire.MetadataQuery{{Set: t.want, IDs: true}}
		}
		var s sight
		if err := w.examine(ctx, b, &s, l); err != nil {
			return err
		}
		if s.UIDValidity != b.uidValidity {
			b.renumber()
			return nil
		}
		if l.Metadata != nil {
			told = s.metas
		}
	}
	if metas == nil && t.bare < 2 { // what dies of metadata may live without
		var err error
		metas, err = w.metas(ctx, t.want, told)
		if err != nil && !(t.want.Len() == 1 && wire.Classify(err) == wire.ClassMessage) {
			t.bereft()
			return err
		}
	}
	if err := w.match(t, metas); err != nil {
		return err
	}
	b.exclude(t, metas, w.r.j.Policy.MaxMessage)
	if rest := t.cut(metas); !rest.Empty() {
		w.r.add(task{box: b, piece: true, generation: t.generation, want: rest, metas: metas, blind: t.blind, late: t.late})
	}
	t.metas = metas // for what is put off, or tried again
	claim, err := w.known(ctx, t, metas)
	defer w.yield(claim)
	if err != nil {
		return err
	}
	if t.tries < 2 || t.want.Len() > 1 {
		if err := w.bodies(ctx, t, metas); err != nil {
			return err
		}
	}
	return w.strays(ctx, t, metas)
}

// bereft counts a connection that died of metadata. At the second the task is to go on
// without them, and has another try for that.
func (t *task) bereft() {
	if t.bare++; t.bare == 2 {
		t.tries = min(t.tries, 1)
	}
}

// metas asks for flags, dates and sizes, where they have not been told, and once
// more for those of which the answer is not whole: a date that is missed now is
// missed for ever. A UID that has no answer here, or one that can't be read, may
// still have a body.
func (w *worker) metas(ctx context.Context, want uid.Set, told map[uint32]wire.Metadata) (out map[uint32]wire.Metadata, err error) {
	if out = told; out == nil {
		if out, err = w.askMetas(ctx, want); err != nil {
			return out, err
		}
	}
	var doubtful uid.Set
	for u := range want.All() {
		if !w.r.j.sure(out[u]) {
			doubtful.Add(u)
		}
	}
	if doubtful.Empty() {
		return out, nil
	}
	again, err := w.askMetas(ctx, doubtful)
	for u, m := range again {
		if _, told := out[u]; !told || wholeMeta(m) {
			out[u] = m
		}
	}
	if wire.Classify(err) == wire.ClassMessage {
		err = nil // it was answered before
	}
	return out, err
}

// sure says whether one answer about a message is enough. To be left out for its
// size, it should have it.
func (j *Job) sure(m wire.Metadata) bool {
	return wholeMeta(m) && (j.Policy.MaxMessage == 0 || m.Size <= j.Policy.MaxMessage)
}

// wholeMeta says whether everything is known of a message.
func wholeMeta(m wire.Metadata) bool {
	return m.HasFlags && m.HasSize && !m.InternalDate.IsZero() && m.Problem == ""
}

// askMetas is metas once. Of a UID that is told of in two ways nothing is known.
func (w *worker) askMetas(ctx context.Context, want uid.Set) (map[uint32]wire.Metadata, error) {
	out := make(map[uint32]wire.Metadata, want.Len())
	var twofold uid.Set
	err := w.c.FetchMetadata(ctx, wire.MetadataQuery{Set: want, IDs: true}, func(m wire.Metadata) error {
		if want.Contains(m.UID) {
			keep(out, &twofold, m)
		}
		return nil
	})
	for u := range twofold.All() {
		delete(out, u)
	}
	return out, err
}

// match archives, without fetching them, messages that the archive has under
// this very UIDVALIDITY and UID, and that have the size and date they had: a
// server that forgot them for a while lists them again.
func (w *worker) match(t *task, metas map[uint32]wire.Metadata) error {
	b := t.box
	if len(b.recall) == 0 || w.r.j.Policy.Matching.Off || b.inDoubt() {
		return nil
	}
	for u := range t.want.All() {
		old, m := b.recall[u], metas[u]
		if old == nil || !m.HasSize || m.Size != old.Size || !m.InternalDate.Equal(old.InternalDate) || !b.intact(old) {
			continue
		}
		batch, err := w.open(b)
		if err != nil {
			return err
		}
		batch.Record(archive.Event{Kind: archive.Added, UID: u, Path: old.Path, Size: old.Size, Sum: old.Sum,
			InternalDate: old.InternalDate, Flags: archive.StoredFlags(m.Flags), Matched: cmp.Or(old.Matched, "uid")})
		t.want = t.want.Subtract(uid.Of(u))
		w.received(b, 0)
	}
	return nil
}

// intact says whether the file of a message is what was archived.
func (b *box) intact(m *archive.Message) bool {
	return b.r.j.Committer.Archive.CheckFile(b.place, m) == nil
}

// exclude takes out what is larger than the configuration allows.
func (b *box) exclude(t *task, metas map[uint32]wire.Metadata, largest int64) {
	if largest == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for u, m := range metas {
		if m.HasSize && m.Size > largest && t.want.Contains(u) {
			b.excluded.Add(u)
			t.want = t.want.Subtract(uid.Of(u))
		}
	}
}

// cut leaves the piece what one FETCH is to bring at the most, and returns the rest.
func (t *task) cut(metas map[uint32]wire.Metadata) uid.Set {
	n, octets := 0, int64(0)
	for u := range t.want.All() {
		if octets += max(0, metas[u].Size); n > 0 && octets > pieceOctets {
			head, rest := t.want.Split(n)
			t.want = head
			return rest
		}
		n++
	}
	return uid.Set{}
}

// bodies fetches the bodies of a piece into batches, as many at a time as the day
// has room for.
func (w *worker) bodies(ctx context.Context, t *task, metas map[uint32]wire.Metadata) error {
	for set := t.want; !set.Empty(); {
		part, reserved, err := w.r.j.quota.Reserve(ctx, set, func(u uint32) int64 { return costOf(metas[u]) })
		if err == nil {
			err = w.portion(ctx, t, part, metas, reserved)
		}
		if err != nil {
			return err
		}
		set = set.Subtract(part)
	}
	return nil
}

// costOf returns the octets that a message takes from the daily limit.
func costOf(m wire.Metadata) int64 {
	if m.HasSize {
		return quota.MessageCost(max(0, m.Size))
	}
	return quota.MessageCost(quota.UnknownSize)
}

// portion fetches the bodies of set in one go.
func (w *worker) portion(ctx context.Context, t *task, set uid.Set, metas map[uint32]wire.Metadata, reserved *quota.Reservation) error {
	defer reserved.Release()
	var got uid.Set
	defer func() { t.want = t.want.Subtract(got) }()
	return w.c.FetchBodies(ctx, set, func(u uint32, size int64, body io.Reader) error {
		if w.r.j.sizes.doubts(metas[u], size) {
			return t.doubt(u, body)
		}
		if err := w.receive(t.box, metas[u], u, size, body); err != nil {
			return err
		}
		got.Add(u)
		reserved.Use(costOf(metas[u]))
		w.received(t.box, size)
		return nil
	})
}

// receive puts one message into the worker's batch.
func (w *worker) receive(b *box, m wire.Metadata, u uint32, size int64, body io.Reader) error {
	if largest := w.r.j.Policy.MaxMessage; largest > 0 && size > largest {
		// The server said less before. It is not archived, and this says why.
		return &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("the body has %d octets, over the limit of %d, and RFC822.SIZE said %d", size, largest, m.Size)}
	}
	if w.room -= size + fileOverhead; w.room < 0 {
		disk := w.r.j.Committer.Archive
		if err := disk.CheckFreeSpace(0); err != nil {
			return err
		}
		if err := disk.CheckFreeSpace(size); err != nil { // this message is too large, or said to be: the others may fit
			return &wire.Error{Class: wire.ClassProtocol, Err: fmt.Errorf("its %d octets do not fit on the disk: %v", size, err)}
		}
		w.room = roomOctets
	}
	batch, err := w.open(b)
	if err != nil {
		return err
	}
	err = batch.Add(b.uidValidity, b.event(u, m), size, body)
	if incomplete(err) && wire.Classify(err) == wire.ClassUnknown {
		err = &wire.Error{Class: wire.ClassTransient, Err: fmt.Errorf("UID %d: %w", u, err)}
	}
	return err
}

// received counts a message that is the last of the worker's batch.
func (w *worker) received(b *box, octets int64) {
	w.backoff.Reset()
	b.judge(&w.batch.Events[w.batch.Len()-1])
	b.mu.Lock()
	b.misses = 0
	b.mu.Unlock()
	now := w.r.j.Now()
	w.r.j.meter.Change(func(p *progress.Progress) { p.AddReceived(octets, now) })
	w.full()
}

// strays deals with what a server left out of its answers, or was not asked in
// a piece for: what it no longer lists is gone; the rest is fetched again, one
// by one and by other means, and failed if that does not help either.
func (w *worker) strays(ctx context.Context, t *task, metas map[uint32]wire.Metadata) error {
	if t.want.Empty() {
		return nil
	}
	b := t.box
	seen, err := w.look(ctx, b, false)
	if err != nil {
		return err
	}
	sel, server := seen.Examined, seen.UIDs
	if sel.UIDValidity != b.uidValidity {
		b.renumber()
		return nil
	}
	lost := t.want.Subtract(server)
	if odd := session.CheckComplete(sel, server); odd != nil {
		b.flawed(odd)
	}
	if !session.IsComplete(sel, server) { // it says nothing of what is lost: that is tried, and fails by name
		lost = uid.Set{}
	}
	if overlooked := server.Subtract(b.server).Subtract(uid.Above(b.seen)); !overlooked.Empty() {
		b.flawed(fmt.Errorf("UID SEARCH did not list all messages at first: UIDs %.100s were there", overlooked))
	}
	b.mu.Lock()
	b.expunged = b.expunged.Union(lost)
	b.mu.Unlock()
	t.want = t.want.Subtract(lost)
	for u := range t.want.All() {
		if b.gaveUp(t.generation) {
			return nil
		}
		if err := w.alone(ctx, t, metas[u], u); err != nil {
			if !session.IsMessageError(err) {
				return err
			}
			if err := w.record(b, uid.Of(u), err); err != nil {
				return err
			}
			w.backoff.Reset()
		}
		t.want = t.want.Subtract(uid.Of(u))
	}
	return nil
}

// alone fetches one message by itself, tolerating what Bodies does not. Which
// message a body is of may be known only behind it, and if it is the message at
// all only when it is compared: until then it is in the batch on trial.
func (w *worker) alone(ctx context.Context, t *task, m wire.Metadata, u uint32) error {
	if _, doubted := t.doubts[u]; (doubted || !m.HasSize) && t.bare < 2 {
		again, err := w.askMetas(ctx, uid.Of(u))
		if err != nil && wire.Classify(err) != wire.ClassMessage {
			t.bereft()
			return err
		}
		if told, ok := again[u]; ok {
			m = told
		}
	}
	_, reserved, err := w.r.j.quota.Reserve(ctx, uid.Of(u), func(uint32) int64 { return costOf(m) })
	if err != nil {
		return err
	}
	defer reserved.Release()
	took := int64(-1)
	err = w.c.FetchBody(ctx, u, func(size int64, body io.Reader) error {
		if err := w.receive(t.box, m, u, size, body); err != nil {
			return err
		}
		took = size
		return nil
	})
	if took < 0 {
		return err
	}
	if err == nil {
		err = w.compare(ctx, t, m, u, took)
	}
	if err != nil {
		return errors.Join(err, w.batch.Undo())
	}
	w.received(t.box, took)
	return nil
}

// record notes that messages could not be archived, and why. A reason that is
// known from an earlier run is not written again.
func (w *worker) record(b *box, set uid.Set, cause error) error {
	reason := safetext.Line(cause.Error())
	for u := range set.All() {
		w.r.j.Log.Warn("message could not be archived", logkey.Account, w.r.j.Account.Name, logkey.Mailbox, b.listed.Name, logkey.UID, u, logkey.Error, reason)
		if b.before[u] == reason {
			continue
		}
		batch, err := w.open(b)
		if err != nil {
			return err
		}
		batch.Record(archive.Event{Kind: archive.Failed, UID: u, Reason: reason})
		w.full()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.misses += set.Len()
	if b.misses >= mostMisses && b.err == nil {
		b.err = fmt.Errorf("%d messages in a row could not be fetched; the others are left to the next run", b.misses)
	}
	return nil
}
