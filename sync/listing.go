package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/internal/progress"
	"archiverd/internal/wire"
	"archiverd/state"
)

// list connects and lists the mailboxes, as often as the back-off allows.
func (r *run) list(ctx context.Context, w *worker) (listed []wire.Mailbox, err error) {
	if err := w.session.Acquire(ctx); err != nil {
		return nil, err
	}
	r.job.setStage("connecting")
	var refused error // the server refuses LIST alone: no other connection would help
	err = w.session.Do(ctx, func(c *wire.Conn) (err error) {
		r.preconnect()
		r.job.setStage("listing")
		if listed, err = c.List(ctx); wire.Classify(err) == wire.ClassMailbox {
			refused, err = err, nil
		}
		return err
	})
	return listed, cmp.Or(err, refused)
}

// choose divides the listed mailboxes into those to work on and those that are done
// already, whose ledgers it adds to the result. recorded is what the archive has of
// the account, by directory; choose deletes from it.
func (r *run) choose(listed []wire.Mailbox, recorded map[string]state.Mailbox, result *state.Run) (work []*mailboxRun, err error) {
	placed := map[string]string{} // names by directory
	isCut := false
	losses := r.job.Committer.Archive.Losses(archive.Escape(r.job.Account.Name))
	addDone := func(l state.Ledger) { result.Mailboxes = append(result.Mailboxes, l) }
	for _, l := range listed {
		if l.Err != nil {
			isCut = isCut || l.IsRest()
			addDone(state.Ledger{Mailbox: l.Name, Error: l.Err.Error()})
			continue
		}
		if !l.Selectable() {
			addDone(state.Ledger{Mailbox: l.Name, Skipped: "the server has no messages under this name"})
			continue
		}
		name := archive.Name{Mailbox: l.Name, Delimiter: l.Delimiter, Raw: l.Raw}
		dir, err := r.dirs.find(r.job.Account.Name, name)
		if errors.Is(err, archive.ErrTooDeep) {
			addDone(state.Ledger{Mailbox: l.Name, Error: err.Error()})
			continue
		}
		if err != nil {
			return nil, err
		}
		record, isRecorded := recorded[dir.Dir]
		if l.Status != nil && (!isRecorded || r.job.isOriginOf(&record)) {
			r.listedUIDValidity[dir.Dir] = l.Status.UIDValidity
		}
		delete(recorded, dir.Dir)
		if isSelected, rule := r.job.Policy.Selects(l.Name, l.Delimiter, l.Attrs); !isSelected {
			addDone(excludedLedger(l, rule))
			continue
		}
		if other, isTaken := placed[dir.Dir]; isTaken {
			addDone(state.Ledger{Mailbox: l.Name, Error: fmt.Sprintf("has the same place in the archive as mailbox %q", other)})
			continue
		}
		placed[dir.Dir] = l.Name
		m := &mailboxRun{listed: l, name: name, dir: dir, recorded: record, isNew: !isRecorded}
		if losses[dir.Dir] != nil {
			continue // addLost tells
		}
		if ledger, isUnchanged := m.unchanged(r.job); isUnchanged && r.hasJournal(m) {
			addDone(ledger)
			continue
		}
		work = append(work, m)
	}
	r.startWithLargest(work)
	addLost(losses, placed, recorded, addDone)
	if isCut { // it does not say which mailboxes are gone
		return work, nil
	}
	return work, r.recordVanished(recorded, len(listed), result)
}

// startWithLargest sorts mailboxes and sets what is expected of them. The largest comes
// first: its pieces keep every connection busy while one after the other works through
// the small ones.
func (r *run) startWithLargest(work []*mailboxRun) {
	slices.SortStableFunc(work, func(a, b *mailboxRun) int { return cmp.Compare(b.messages(), a.messages()) })
	for _, m := range work {
		r.expect(m, max(0, int(m.messages())-m.recorded.Archived))
	}
}

// addLost adds the ledgers of mailboxes whose journal is lost, also of those that the
// server does not list. placed has the listed names, by directory.
func addLost(losses map[string]error, placed map[string]string, recorded map[string]state.Mailbox, add func(state.Ledger)) {
	for _, dir := range slices.Sorted(maps.Keys(losses)) {
		delete(recorded, dir)
		add(state.Ledger{Mailbox: cmp.Or(placed[dir], archive.MailboxOf(dir)), Error: losses[dir].Error()})
	}
}

// hasJournal reports whether the mailbox's journal is there, and as long as what is
// recorded of it. Otherwise the mailbox is opened, which says what is wrong.
func (r *run) hasJournal(m *mailboxRun) bool {
	s, err := r.job.Committer.Archive.JournalStamp(m.dir)
	return err == nil && s.Size == m.recorded.Applied.Offset
}

// expect sets how many messages of a mailbox are to be received: first by the
// server's counters, then as a scan found.
func (r *run) expect(m *mailboxRun, messages int) {
	change := m.setExpected(messages)
	r.job.meter.Change(func(p *progress.Progress) { p.Messages += change })
}

// messages returns how many messages the server reported; 0 if it did not.
func (m *mailboxRun) messages() uint32 {
	if m.listed.Status == nil {
		return 0
	}
	return m.listed.Status.Messages
}

// unchanged reports whether the counters of the server, which is that of the last run,
// say that the mailbox is as it was when the archive was last complete, and returns its
// ledger then. A mailbox that is due to be opened is not unchanged.
func (m *mailboxRun) unchanged(j *Job) (state.Ledger, bool) {
	s, c, limit := m.listed.Status, m.recorded.Cursor, j.Policy.MaxMessage
	isUnchanged := !m.isNew && s != nil && !m.recorded.Vanished && m.recorded.Failed == 0 && m.recorded.Again == 0 && c.Limit == limit &&
		c.UIDValidity != 0 && c.UIDValidity == s.UIDValidity && m.recorded.UIDValidity == s.UIDValidity &&
		c.UIDNext != 0 && c.UIDNext == s.UIDNext && c.Messages == s.Messages &&
		c.HighestModSeq != 0 && c.HighestModSeq == s.HighestModSeq &&
		m.recorded.Archived+c.Excluded == int(s.Messages) &&
		j.isOriginOf(&m.recorded) && !j.isDue(&m.recorded)
	if !isUnchanged {
		return state.Ledger{}, false
	}
	return state.Ledger{Mailbox: m.listed.Name, Server: int(s.Messages), Archived: m.recorded.Archived,
		Excluded: c.Excluded, Rule: LimitRule(c.Excluded, limit), UIDNext: c.UIDNext, Unchanged: true}, true
}

// excludedLedger returns the ledger of a mailbox that a rule of the configuration
// excludes.
func excludedLedger(m wire.Mailbox, rule string) state.Ledger {
	l := state.Ledger{Mailbox: m.Name, Rule: rule}
	if m.Status != nil {
		l.Server, l.Excluded = int(m.Status.Messages), int(m.Status.Messages)
	}
	return l
}

// recordVanished records the mailboxes that the archive has and the server no longer
// lists.
func (r *run) recordVanished(unlisted map[string]state.Mailbox, listed int, result *state.Run) error {
	if listed == 0 && len(unlisted) > 0 {
		return errors.New("the server lists no mailbox at all; taking that for a fault of the server, not for the end of the account")
	}
	for dir, m := range unlisted {
		if len(m.Name.Levels()) > archive.MaxLevels { // choose does not look for it
			continue
		}
		l := state.Ledger{Mailbox: m.Name.Mailbox, Vanished: true}
		if !m.Vanished && !m.Newer {
			result.Warnings = append(result.Warnings, fmt.Sprintf("mailbox %q is no longer on the server; the archive keeps its %s", m.Name.Mailbox, english.Plural(m.Archived+m.Gone, "message", "")))
			if err := r.recordVanishedMailbox(archive.MailboxDir{Account: m.Account, Dir: dir}, &m); err != nil {
				l.Error = err.Error()
			}
		}
		result.Mailboxes = append(result.Mailboxes, l)
	}
	return nil
}

func (r *run) recordVanishedMailbox(dir archive.MailboxDir, recorded *state.Mailbox) error {
	m, err := r.job.Committer.OpenMailbox(dir, recorded)
	if err != nil {
		return err
	}
	b, err := m.Batch()
	if err != nil {
		return errors.Join(err, m.Release())
	}
	b.Record(archive.Event{Kind: archive.Vanished})
	err = r.job.Committer.Commit(b)
	r.clock.Note(b)
	return errors.Join(err, m.Release())
}
