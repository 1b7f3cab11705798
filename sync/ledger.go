package sync

import (
	"cmp"
	"fmt"

	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/internal/safetext"
	"archiverd/internal/uid"
	"archiverd/state"
)

// maxFailuresListed is how many failed messages a ledger names.
const maxFailuresListed = 100

// reconcile compares, at the end of the run, what the server listed with what the
// archive has, and returns the ledger of the mailbox. The cursor is what to store if
// the mailbox is complete, else nil. limit is the largest message in octets, 0 for
// none; endedEarly is why the run ended early through no mailbox's fault, "" if it
// did not. All batches must be committed.
func (m *mailboxRun) reconcile(db *state.DB, a *archive.Archive, limit int64, endedEarly string) (state.Ledger, *state.Completed, error) {
	if err := m.releaseArchive(); err != nil { // the run was stopped with work pending
		m.markIncomplete(err)
	}
	m.mu.Lock()
	t, s, dir := m.tally, m.snapshot, m.dir // all pending work is done: nobody changes them
	m.mu.Unlock()
	l := t.counts
	l.Mailbox = m.listed.Name
	if err := cmp.Or(t.gaveUp, t.incomplete); err != nil {
		l.Error = safetext.Line(err.Error())
	}
	if s == nil {
		return m.unscannedLedger(l, endedEarly), nil, nil
	}
	recorded, awaiting, err := recordedUIDs(db, dir.Dir, s.UIDValidity, m.currentPlan())
	l.Awaiting = awaiting
	if err != nil {
		l.Error = err.Error()
		return l, nil, err
	}
	server := s.uids.Subtract(t.expunged)
	l.Server, l.UIDNext = server.Len(), s.nextUID()
	missing := server.Subtract(recorded.Archived)
	l.Archived = l.Server - missing.Len()
	excluded := missing.Intersect(t.excluded) // some may have failed before the limit was set
	missing = missing.Subtract(excluded)
	failed := missing.Intersect(recorded.Failed)
	missing = missing.Subtract(failed)
	l.Excluded, l.Failed, l.Missing = excluded.Len(), failed.Len(), missing.Len()
	l.Rule = LimitRule(l.Excluded, limit)
	if l.Failed > 0 {
		if l.Failures, err = failureReasons(db, dir.Dir, failed); err != nil {
			return l, nil, err
		}
	}
	switch {
	case l.Missing == 0 || l.Error != "":
	case endedEarly != "":
		l.Postponed = endedEarly
	default:
		l.Error = fmt.Sprintf("%d of the server's messages are not accounted for, UIDs %.100s", l.Missing, missing)
	}
	if t.mistrusted && l.Error == "" && l.Postponed == "" {
		l.Error = t.unverifiedError(a, dir, s, server)
	}
	if l.Error != "" || l.Postponed != "" {
		return l, nil, nil
	}
	c := s.cursor()
	c.Messages, c.Excluded, c.Limit = uint32(l.Server), l.Excluded, limit
	if p := m.currentPlan(); p != nil {
		c.SizesVary, c.DatesVary = p.vary.sizes, p.vary.dates
		c.Compared = p.epoch.Cursor.Compared
		if t.flagsCompared {
			c.Compared = t.began
		}
	}
	return l, &state.Completed{Cursor: c, ExcludedUIDs: excluded}, nil
}

// unscannedLedger completes the ledger of a mailbox that was not scanned: all that
// is known is what LIST said.
func (m *mailboxRun) unscannedLedger(l state.Ledger, endedEarly string) state.Ledger {
	s := m.listed.Status
	if s != nil {
		l.Server, l.Missing = int(s.Messages), int(s.Messages)
	}
	switch {
	case l.Error != "":
	case endedEarly != "":
		l.Postponed = endedEarly
		if s != nil && m.recorded.UIDValidity == s.UIDValidity { // as far as earlier runs came
			l.Archived, l.Awaiting = min(m.recorded.Archived, l.Server), m.recorded.Awaiting
			l.Missing -= l.Archived
		}
	default:
		l.Error = "this run did not come to it"
	}
	return l
}

// unverifiedError says that messages of a mistrusted mailbox are still to be
// downloaded; "": none is.
func (t *tally) unverifiedError(a *archive.Archive, dir archive.MailboxDir, s *snapshot, server uid.Set) string {
	matched, err := unverifiedMatches(a, dir, s.UIDValidity)
	if err != nil {
		return safetext.Line(err.Error())
	}
	matched = matched.Intersect(server).Subtract(t.excluded)
	if matched.Empty() {
		return ""
	}
	return fmt.Sprintf("%s matched, perhaps wrongly: still to be downloaded, %s %.100s", english.Plural(matched.Len(), "message", ""), english.PluralWord(matched.Len(), "UID", ""), matched)
}

// recordedUIDs returns the UIDs recorded of an epoch, and how many of the messages await
// that their size agrees; none if its events did not get into the journal. p is the latest
// plan, nil if there is none.
func recordedUIDs(db *state.DB, dir string, uidValidity uint32, p *plan) (uids state.UIDs, awaiting int, err error) {
	recorded, _, err := db.Mailbox(dir)
	isUnopened := p != nil && p.newEpoch && recorded.Applied == p.epoch.Applied
	if err != nil || recorded.UIDValidity != uidValidity || isUnopened {
		return uids, 0, err
	}
	uids, err = db.UIDs(dir)
	return uids, recorded.Awaiting, err
}

// failureReasons returns why messages of a mailbox failed, by UID; of at most
// maxFailuresListed.
func failureReasons(db *state.DB, dir string, failed uid.Set) (map[uint32]string, error) {
	all, err := db.Failures(dir)
	if err != nil {
		return nil, err
	}
	out := map[uint32]string{}
	for u, reason := range all {
		if len(out) < maxFailuresListed && failed.Contains(u) {
			out[u] = reason
		}
	}
	return out, nil
}
