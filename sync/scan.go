package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"archiverd/archive"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// scan opens the mailbox, compares UIDs and flags with what is recorded, records what
// changed, and queues the messages to be fetched. At its first try it asks for metadata
// before it knows what is missing.
func (w *worker) scan(ctx context.Context, t *task) error {
	m := t.mailbox
	m.startScan(w.run.job.Now())
	s, err := w.examine(ctx, m, t.tries == 0)
	if err != nil {
		return err
	}
	if err := session.CheckPlausible(s.Examined, s.uids); err != nil {
		m.giveUp(err)
		return nil
	}
	recorded, batch, err := w.openArchive(m)
	if batch == nil {
		return err
	}
	s, p, err := w.plan(ctx, t, s, recorded)
	if p == nil {
		return errors.Join(err, batch.Discard())
	}
	batch, err = w.recordChanges(ctx, m, s, p, batch)
	if err != nil {
		if batch != nil {
			err = errors.Join(err, batch.Discard())
		}
		return err
	}
	w.enqueue(m, s, p, batch)
	return nil
}

// openArchive opens the mailbox for writing and starts a batch. A nil batch without
// an error means that the mailbox was given up.
func (w *worker) openArchive(m *mailboxRun) (recorded state.Mailbox, batch *archive.Batch, err error) {
	dir := m.directory()
	recorded, isRecorded, err := w.run.job.Committer.State.Mailbox(dir.Dir)
	if err != nil {
		return recorded, nil, err
	}
	if recorded.Newer {
		m.giveUp(fmt.Errorf("%s/journal.jsonl: %w", dir.Dir, archive.ErrNewer))
		return recorded, nil, nil
	}
	if err := w.run.openJournal(m, dir, &recorded, !isRecorded); err != nil {
		return recorded, nil, m.giveUpLocal(err)
	}
	if batch, err = m.newBatch(); err != nil {
		return recorded, nil, m.giveUpLocal(err)
	}
	return recorded, batch, nil
}

// openJournal opens the mailbox's journal for writing. A mailbox without a record is
// given its directory in the same step, one mailbox at a time: another whose name
// differs only in case is then given a different directory.
func (r *run) openJournal(m *mailboxRun, dir archive.MailboxDir, recorded *state.Mailbox, isNew bool) (err error) {
	r.dirs.mu.Lock()
	defer r.dirs.mu.Unlock()
	if isNew {
		if dir, err = r.dirs.For(r.job.Account.Name, m.name); err != nil {
			return err
		}
	}
	journal, err := r.job.Committer.OpenMailbox(dir, recorded)
	r.dirs.Created(dir) // also after an error, which may leave the directory behind
	if err != nil {
		return err
	}
	return m.setJournal(dir, journal)
}

// plan makes the plan of a snapshot. Where that may be wrong, it asks another connection
// first, and returns the snapshot to go on with. A nil plan without an error means that
// the mailbox was given up.
func (w *worker) plan(ctx context.Context, t *task, s *snapshot, recorded state.Mailbox) (*snapshot, *plan, error) {
	m := t.mailbox
	p, err := w.compare(ctx, m, s, recorded, t.tries < maxTries-1)
	if err == nil && p.mustConfirm != "" {
		s, p, err = w.confirm(ctx, m, s, p, recorded)
	}
	if err != nil || p == nil {
		return s, nil, err
	}
	m.setSnapshot(s, &p.epoch)
	if err := session.CheckComplete(s.Examined, s.uids); err != nil { // such a list does not say what is gone
		m.markIncomplete(err)
		p.Gone = uid.Set{}
	}
	archive, dir := w.run.job.Committer.Archive.Archive, m.directory()
	if err := p.findReturned(archive, dir, recorded, s.UIDValidity); err != nil {
		return s, nil, m.giveUpLocal(err)
	}
	if p.epoch.Mistrusted {
		matched, err := unverifiedMatches(archive, dir, s.UIDValidity)
		if err != nil {
			return s, nil, m.giveUpLocal(err)
		}
		p.Missing = p.Missing.Union(matched.Intersect(s.uids))
	}
	if p.isOther {
		m.warn(fmt.Sprintf("mailbox %q: its UIDs mean other messages than before, and UIDVALIDITY is the same: the server or the mailbox was replaced. "+
			"A new epoch begins; the %d messages of the old one stay in the archive", m.name.Mailbox, recorded.Archived))
	}
	if len(p.known) == 0 {
		p.known = knownOf(s.metadata, s.uids)
	}
	if err := w.leaveExcluded(m, p, s.UIDValidity); err != nil {
		return s, nil, err
	}
	m.setPlan(p)
	return s, p, nil
}

// compare compares a snapshot with what is recorded. With mayAsk it asks for metadata of
// known messages if none came with the snapshot.
func (w *worker) compare(ctx context.Context, m *mailboxRun, s *snapshot, recorded state.Mailbox, mayAsk bool) (p *plan, err error) {
	db, dir := w.run.job.Committer.State, m.directory().Dir
	p = &plan{epoch: recorded, known: map[uint32]state.Traits{}, compareFlags: w.run.job.isDue(&recorded)}
	p.newEpoch = recorded.UIDValidity != s.UIDValidity || recorded.Vanished
	if !p.newEpoch {
		p.uids, err = db.UIDs(dir)
		if err == nil && !p.uids.Failed.Empty() {
			p.failedBefore, err = db.Failures(dir)
		}
		if err == nil && recorded.Again > 0 {
			p.again, p.failedAgain, err = db.Again(dir, w.run.againQuery(s.uids))
		}
		if err != nil {
			return nil, err
		}
	}
	p.difference = diff(s.uids, p.uids)
	p.vary = variance{recorded.Cursor.SizesVary, recorded.Cursor.DatesVary}
	if !p.newEpoch {
		if err := w.checkIdentity(ctx, m, s, p, mayAsk); err != nil {
			return nil, err
		}
	}
	p.mustConfirm = w.confirmReason(m, s, p)
	if p.isOther {
		p.newEpoch, p.uids, p.failedBefore, p.known, p.vary = true, state.UIDs{}, nil, nil, variance{}
		p.again, p.failedAgain = nil, uid.Set{}
		p.difference = diff(s.uids, p.uids)
	}
	if p.newEpoch {
		p.epoch.Cursor, p.epoch.Verified, p.epoch.Mistrusted = state.Cursor{}, 0, false
	}
	return p, nil
}

// leaveExcluded takes the messages out of the plan that the last complete run found to be
// over the limit, or one that was not lower: a message's size never changes (RFC 9051
// 2.3.4).
func (w *worker) leaveExcluded(m *mailboxRun, p *plan, uidValidity uint32) error {
	limit := w.run.job.Policy.MaxMessage
	if p.newEpoch || limit == 0 {
		return nil
	}
	known, err := w.run.job.Committer.State.Excluded(m.directory().Dir)
	if err != nil || known.UIDValidity != uidValidity || known.Limit < limit {
		return err
	}
	excluded := known.UIDs.Intersect(p.Missing)
	m.exclude(excluded)
	p.Missing = p.Missing.Subtract(excluded)
	return nil
}

// findReturned finds, if the server lists UIDs again that the archive has from before
// under the same UIDVALIDITY, which messages those were.
func (p *plan) findReturned(a *archive.Archive, dir archive.MailboxDir, recorded state.Mailbox, uidValidity uint32) error {
	mayReturn := slices.Contains(recorded.PastUIDValidities, uidValidity) || recorded.UIDValidity == uidValidity && p.newEpoch ||
		!p.uids.Gone.Intersect(p.Missing).Empty()
	if !mayReturn {
		return nil
	}
	view, _, err := a.Fold(dir)
	if err != nil {
		return err
	}
	p.returned = map[uint32]*archive.Message{}
	for epoch, msg := range view.All() {
		if epoch.UIDValidity == uidValidity && p.Missing.Contains(msg.UID) {
			p.returned[msg.UID] = msg
		}
	}
	return nil
}

// recordChanges records a new epoch, the messages that are gone, and the flags that
// changed. It returns the batch to go on with, which is another one if batch was
// full; after an error too.
func (w *worker) recordChanges(ctx context.Context, m *mailboxRun, s *snapshot, p *plan, batch *archive.Batch) (*archive.Batch, error) {
	if p.newEpoch {
		server, user := w.run.job.Account.Origin()
		batch.Record(archive.Event{Kind: archive.Opened, Name: m.name, UIDValidity: s.UIDValidity, Attrs: m.listed.Attrs, Server: server, User: user})
	}
	if !p.Gone.Empty() {
		batch.Record(archive.Event{Kind: archive.Gone, UIDs: p.Gone})
	}
	batch, err := w.recordFlags(ctx, m, s, p, batch)
	if wire.Classify(err) == wire.ClassMessage { // a NO: the new messages are fetched all the same
		m.markIncomplete(err)
		err = nil
	}
	return batch, err
}

// enqueue queues the missing messages. The worker goes on with the same batch.
// Others may take pieces of the mailbox once that batch is submitted: batches are
// committed in order, and one that fails makes those after it fail, so that an epoch
// stands in the journal before its messages.
func (w *worker) enqueue(m *mailboxRun, s *snapshot, p *plan, batch *archive.Batch) {
	m.countGone(p.uids.Archived.Intersect(p.Gone).Len(), p.uids.Archived.Len())
	w.session.ResetBackoff()
	w.run.queue.setOpener(m, w)
	w.startBatch(m, batch)
	w.run.expect(m, p.Missing.Len())
	failedBefore := p.Missing.Intersect(p.uids.Failed)
	missing := p.Missing.Subtract(failedBefore)
	var certain uid.Set
	for u := range missing.All() {
		if w.run.isCertain(s.metadata[u]) {
			certain.Add(u)
		}
	}
	again := p.againTasks(failedBefore)
	failedBefore = failedBefore.Subtract(p.failedAgain)
	for _, t := range append([]task{
		{uids: certain, metadata: s.metadata},
		{uids: missing.Subtract(certain)},
		{uids: failedBefore, order: orderFailedBefore},
	}, again...) {
		if !t.uids.Empty() {
			t.mailbox, t.snapshot = m, s
			w.run.add(t)
		}
	}
}
