package sync

import (
	"context"
	"fmt"
	"sync/atomic"

	"archiverd/internal/logkey"
	"archiverd/internal/session"
	"archiverd/internal/uid"
	"archiverd/state"
)

// Behind one name there may be several servers, some of which show an older state. What
// such a state would have recorded, and what can't be taken back, is believed only if
// another connection confirms it.

// maxConfirmations is how many mailboxes of a run are opened over another connection, too:
// each takes a login.
const maxConfirmations = 10

// confirmations counts the mailboxes of a run that were opened over another connection, too.
type confirmations struct {
	taken    atomic.Int32
	disagree atomic.Bool // two connections said different things
}

// confirmReason returns why a comparison is not believed before another connection
// confirms it; "": it is. Numbers of another server are expected to differ.
func (w *worker) confirmReason(m *mailboxRun, s *snapshot, p *plan) string {
	server, user := w.run.job.Account.Origin()
	wasServer, wasUser := p.epoch.Origin()
	isMoved := wasServer != "" && (wasServer != server || wasUser != user)
	last := p.epoch.Cursor
	switch {
	case p.isOther:
		return "its UIDs mean other messages"
	case isMoved:
		return ""
	case p.newEpoch:
		if p.epoch.UIDValidity == 0 || p.epoch.Vanished {
			return ""
		}
		return fmt.Sprintf("UIDVALIDITY was %d and is %d", p.epoch.UIDValidity, s.UIDValidity)
	case s.UIDNext > 0 && s.UIDNext < last.UIDNext:
		return fmt.Sprintf("UIDNEXT was %d and is %d", last.UIDNext, s.UIDNext)
	case s.HighestModSeq > 0 && s.HighestModSeq < last.HighestModSeq:
		return fmt.Sprintf("HIGHESTMODSEQ was %d and is %d", last.HighestModSeq, s.HighestModSeq)
	case p.Gone.Empty():
		return ""
	case s.isBefore(m):
		return "STATUS said that there is more"
	case s.HighestModSeq > 0 && s.HighestModSeq == last.HighestModSeq:
		return "messages are gone and HIGHESTMODSEQ is as it was"
	case s.UIDNext > 0 && p.Gone.Max() >= s.UIDNext:
		return "messages are gone that have UIDNEXT or a higher UID"
	}
	return ""
}

// isBefore reports whether the mailbox had more when it was listed than when it was opened.
func (s *snapshot) isBefore(m *mailboxRun) bool {
	listed := m.listed.Status
	return listed != nil && listed.UIDValidity == s.UIDValidity &&
		(s.Messages < listed.Messages || s.UIDNext > 0 && s.UIDNext < listed.UIDNext || s.HighestModSeq > 0 && s.HighestModSeq < listed.HighestModSeq)
}

// confirm opens the mailbox over another connection, and returns the snapshot and plan
// to go on with. A nil plan without an error means that the mailbox was given up.
func (w *worker) confirm(ctx context.Context, m *mailboxRun, first *snapshot, p *plan, recorded state.Mailbox) (*snapshot, *plan, error) {
	r := w.run
	if r.confirmed.taken.Add(1) > maxConfirmations {
		return first, m.believe(p, r.confirmed.disagree.Load()), nil
	}
	r.job.Log.Info("opening the mailbox over another connection, too", logkey.Account, r.job.Account.Name, logkey.Mailbox, m.listed.Name, "why", p.mustConfirm)
	_ = w.conn().LogoutNoWait(ctx) // its answer changes nothing
	w.drop()
	if err := w.session.Connect(ctx); err != nil {
		return first, nil, &connectError{err}
	}
	second, err := w.examine(ctx, m, true)
	if err != nil {
		return first, nil, err
	}
	if err := session.CheckPlausible(second.Examined, second.uids); err != nil {
		m.giveUp(err)
		return first, nil, nil
	}
	q, err := w.compare(ctx, m, second, recorded, true)
	if err != nil {
		return first, nil, err
	}
	isSame := first.UIDValidity == second.UIDValidity && p.isOther == q.isOther
	if !isSame {
		r.confirmed.disagree.Store(true)
	}
	return second, m.agree(first, p, second, q), nil
}

// believe returns the plan for a mailbox that is not confirmed in this run: nothing
// is gone, and a new epoch begins only where no other mailbox gives reason for a doubt.
func (m *mailboxRun) believe(p *plan, disagree bool) *plan {
	if p.newEpoch && disagree {
		m.giveUp(fmt.Errorf("%s, and connections to this server say different things; nothing is recorded in this run", p.mustConfirm))
		return nil
	}
	p.Gone = uid.Set{}
	return p
}

// agree returns the plan of what two connections say, which is that of the second one; nil
// after it gave the mailbox up.
func (m *mailboxRun) agree(first *snapshot, p *plan, second *snapshot, q *plan) *plan {
	switch {
	case first.UIDValidity != second.UIDValidity && q.newEpoch:
		m.giveUp(fmt.Errorf("its UIDVALIDITY changed from %d to %d between two connections; nothing is recorded of it until two say the same", first.UIDValidity, second.UIDValidity))
		return nil
	case first.UIDValidity != second.UIDValidity:
		m.warn(fmt.Sprintf("mailbox %q: UIDVALIDITY alternates between connections, %d and %d; it is archived over those that say %d",
			m.name.Mailbox, first.UIDValidity, second.UIDValidity, second.UIDValidity))
	case q.isOther && !p.isOther:
		m.giveUp(fmt.Errorf("UIDs mean other messages on one connection than on another; nothing is recorded of it until two say the same"))
		return nil
	case p.isOther && !q.isOther:
		m.warn(fmt.Sprintf("mailbox %q: UIDs mean other messages on one connection than on another; it is archived over those that give the recorded ones", m.name.Mailbox))
	case !q.newEpoch:
		q.Gone = q.Gone.Intersect(p.Gone)
	}
	return q
}
