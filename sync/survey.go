package sync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// A mailbox of which this much goes in one run is worth a word.
const (
	muchGone  = 100 // messages
	muchShare = 5   // the fraction's denominator
)

// survey opens the mailbox, compares UIDs and flags, records what changed, and
// puts the pieces that are to be fetched into the queue. With guess it asks for
// metadata before it knows what is missing.
func (w *worker) survey(ctx context.Context, b *box, guess bool) error {
	j := w.r.j
	b.mu.Lock()
	b.generation++
	generation := b.generation
	if b.began.IsZero() {
		b.began = j.Now()
	}
	b.mu.Unlock()

	seen, err := w.look(ctx, b, guess)
	if err != nil {
		return err
	}
	sel, server := seen.Examined, seen.UIDs
	if err := session.CheckPlausible(sel, server); err != nil {
		b.failed(err)
		return nil
	}
	info, known, err := j.Committer.State.Mailbox(b.place.Dir)
	if err != nil {
		return err
	}
	if info.Newer {
		b.failed(fmt.Errorf("%s/journal.jsonl: %w", b.place.Dir, archive.ErrNewer))
		return nil
	}
	m, err := b.enter(info, known)
	if err != nil {
		return b.local(err)
	}
	batch, err := m.Batch()
	if err != nil {
		return b.local(err)
	}
	have := state.UIDs{}
	before := map[uint32]string{}
	if known && info.UIDValidity == sel.UIDValidity && !info.Vanished {
		have, err = j.Committer.State.UIDs(b.place.Dir)
		if err == nil && !have.Failed.Empty() {
			before, err = j.Committer.State.Failures(b.place.Dir)
		}
		if err != nil {
			return errors.Join(err, batch.Discard())
		}
	} else {
		batch.Record(archive.Event{Kind: archive.Opened, Name: b.name, UIDValidity: sel.UIDValidity, Attrs: b.listed.Attrs})
		info.Cursor, info.Verified, info.Mistrusted = state.Cursor{}, 0, false
	}
	diff := Diff(server, have)
	b.found(sel, server, info, before)
	if odd := session.CheckComplete(sel, server); odd != nil { // an answer that leaves some out says nothing of what is gone
		b.flawed(odd)
		diff.Gone = uid.Set{}
	}
	if !diff.Gone.Empty() {
		batch.Record(archive.Event{Kind: archive.Gone, UIDs: diff.Gone})
	}
	if err := b.remember(info, have, diff, sel.UIDValidity); err != nil {
		return errors.Join(b.local(err), batch.Discard())
	}
	if info.Mistrusted {
		doubtful, err := b.doubtful()
		if err != nil {
			return errors.Join(b.local(err), batch.Discard())
		}
		diff.Missing = diff.Missing.Union(doubtful.Intersect(server))
	}
	batch, err = w.flags(ctx, b, batch, diff.Here, info.Cursor, seen)
	if wire.Classify(err) == wire.ClassMessage { // a NO: the new messages are to be had all the same
		b.flawed(err)
	} else if err != nil {
		return errors.Join(err, batch.Discard())
	}
	b.noteGone(have.Archived.Intersect(diff.Gone).Len(), have.Archived.Len())
	w.backoff.Reset()
	// This worker goes on with the same batch. Others may take pieces of the
	// mailbox when it is on its way: the committer takes batches in order, and
	// one that fails makes those after it fail, so that an epoch stands in the
	// journal before its messages.
	w.r.opening(b, w)
	w.begin(b, batch)
	b.expect(diff.Missing.Len())
	failed := diff.Missing.Intersect(have.Failed)
	wanted := diff.Missing.Subtract(failed)
	var ready uid.Set
	for u := range wanted.All() {
		if j.sure(seen.metas[u]) {
			ready.Add(u)
		}
	}
	for _, t := range []task{{want: ready, metas: seen.metas}, {want: wanted.Subtract(ready)}, {want: failed, late: failedBefore}} {
		if !t.want.Empty() {
			t.box, t.piece, t.generation = b, true, generation
			w.r.add(t)
		}
	}
	return nil
}

// enter opens the mailbox in the archive. A new one is given its place together
// with its directory, one at a time: another whose name differs in case only is
// then given a different one.
func (b *box) enter(info state.Mailbox, known bool) (*archive.Mailbox, error) {
	w := b.r.j.Committer.Archive
	b.r.placing.Lock()
	defer b.r.placing.Unlock()
	if !known {
		place, err := b.r.places.For(b.r.j.Account.Name, b.name)
		if err != nil {
			return nil, err
		}
		b.place = place
	}
	m, err := w.Mailbox(b.place, info.Journal, info.Applied)
	b.r.places.Created(b.place) // or half of it, where that failed
	if err != nil {
		return nil, err
	}
	err = b.leave() // of a survey before
	b.mu.Lock()
	defer b.mu.Unlock()
	b.m = m
	return m, err
}

// leave closes the mailbox in the archive, where it is open.
func (b *box) leave() error {
	b.mu.Lock()
	m := b.m
	b.m = nil
	b.mu.Unlock()
	if m == nil {
		return nil
	}
	return m.Release()
}

// found stores what the survey found.
func (b *box) found(sel wire.Examined, server uid.Set, info state.Mailbox, before map[uint32]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uidValidity, b.server, b.info, b.before = sel.UIDValidity, server, info, before
	b.seen = server.Max()
	if sel.UIDNext > 0 {
		b.seen = sel.UIDNext - 1
	}
	b.expunged, b.excluded, b.recall, b.flaw = uid.Set{}, uid.Set{}, nil, nil
	b.trust(info)
	b.cursor = state.Cursor{UIDValidity: sel.UIDValidity, UIDNext: sel.UIDNext, HighestModSeq: sel.HighestModSeq}
}

// local marks an error of this machine as the mailbox's own: the others go on,
// unless it is one that would meet them too.
func (b *box) local(err error) error {
	if commit.IsDiskError(err) {
		return err
	}
	b.failed(err)
	return nil
}

func (b *box) noteGone(gone, of int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger.Gone += gone
	if gone > muchGone && gone*muchShare > of {
		b.warnings = append(b.warnings, fmt.Sprintf("mailbox %q: %d of %d messages vanished from the server since the last run; they stay in the archive", b.name.Mailbox, gone, of))
	}
}

// remember looks up, where the server lists again what the archive has under
// the same UIDVALIDITY and UID from before, what that was.
func (b *box) remember(info state.Mailbox, have state.UIDs, diff Difference, uidValidity uint32) error {
	again := slices.Contains(info.PastUIDValidities, uidValidity) || info.UIDValidity == uidValidity && info.Vanished ||
		!have.Gone.Intersect(diff.Missing).Empty()
	if !again {
		return nil
	}
	view, _, err := b.r.j.Committer.Archive.Fold(b.place)
	if err != nil {
		return err
	}
	recall := map[uint32]*archive.Message{}
	for ep, m := range view.All() {
		if ep.UIDValidity == uidValidity && diff.Missing.Contains(m.UID) {
			recall[m.UID] = m
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recall = recall
	return nil
}

// flags records the flags that changed, of the messages that are here. With
// CONDSTORE the server tells which may have (RFC 7162 3.1.4.1), else all are
// asked for.
func (w *worker) flags(ctx context.Context, b *box, batch *archive.Batch, here uid.Set, last state.Cursor, sel sight) (*archive.Batch, error) {
	if here.Empty() || sel.HighestModSeq != 0 && sel.HighestModSeq == last.HighestModSeq {
		return batch, nil
	}
	var all uid.Set
	all.AddRange(1, here.Max())
	q := wire.MetadataQuery{Set: all, FlagsOnly: true}
	if sel.HighestModSeq > last.HighestModSeq { // a server put back from a backup may have fallen behind
		q.ChangedSince = last.HighestModSeq
	}
	room := 2*b.server.Len() + 1000 // for replies
	var chunk []state.MessageFlags
	check := func() error {
		changed, err := w.r.j.Committer.State.ChangedFlags(b.place.Dir, chunk)
		chunk = chunk[:0]
		if err != nil {
			return err
		}
		for _, c := range changed {
			batch.Record(archive.Event{Kind: archive.Flags, UID: c.UID, Flags: strings.Fields(c.Flags)})
		}
		if batch.Len() < commit.MaxEvents {
			return nil
		}
		w.send(b, batch)
		batch, err = b.m.Batch()
		return err
	}
	one := func(m wire.Metadata) error {
		if room--; room < 0 {
			return errReplies
		}
		if !m.HasFlags || !here.Contains(m.UID) {
			return nil
		}
		chunk = append(chunk, state.MessageFlags{UID: m.UID, Flags: archive.JoinFlags(m.Flags)})
		if len(chunk) < commit.MaxEvents {
			return nil
		}
		return check()
	}
	var err error
	if sel.flags && sel.since == q.ChangedSince {
		for _, u := range slices.Sorted(maps.Keys(sel.metas)) {
			if err == nil {
				err = one(sel.metas[u])
			}
		}
	} else {
		err = w.c.FetchMetadata(ctx, q, one)
	}
	if err == nil {
		err = check()
	}
	return batch, err
}
