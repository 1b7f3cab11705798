package history

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"archiverd/archive"
)

// Log returns what happened in an account from since to until, both included and zero
// for no bound, by time and mailbox. It reads every journal of the account once,
// because a message that is gone from one mailbox may have arrived in any other. A
// mailbox whose journal can't be read, in whole or in part, is an error beside the
// changes of all others and of what stands before its fault.
func Log(a *archive.Archive, account string, since, until time.Time) ([]*Change, error) {
	mailboxes, err := a.Mailboxes(account)
	if err != nil {
		return nil, err
	}
	l := &logBuilder{since: since, until: until, changeOf: map[*Loss]*Change{}, merged: map[*Change]bool{}}
	l.matcher.mailboxes = mailboxes
	var errs error
	for i, b := range mailboxes {
		if _, err := trackChanges(a, b, time.Time{}, func(c *Change) { l.add(int32(i), c) }); err != nil {
			errs = errors.Join(errs, fmt.Errorf("log of mailbox %s: %w", b.Dir, err))
		}
	}
	l.mergeRenames(l.mergeMoves())
	out := slices.DeleteFunc(l.changes, func(c *Change) bool { return l.merged[c] || !l.isWithin(c.At, 0) })
	slices.SortStableFunc(out, func(x, y *Change) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Mailbox.Dir, y.Mailbox.Dir))
	})
	return out, errs
}

// logBuilder makes the log of one account from the changes of its mailboxes.
type logBuilder struct {
	since, until time.Time
	changes      []*Change
	matcher      moveMatcher       // ref of an arrival is its index in changes
	changeOf     map[*Loss]*Change // of each loss in matcher
	merged       map[*Change]bool  // part of another change: not in the log
}

// moveMargin is how far the two halves of a move may be apart.
const moveMargin = maxMoveAfter * time.Second

// isWithin reports whether t is in the time of the log, extended by margin at both ends.
func (l *logBuilder) isWithin(t time.Time, margin time.Duration) bool {
	until := l.until
	if !until.IsZero() {
		until = until.Add(margin)
	}
	return archive.HappenedBetween(t, l.since.Add(-margin), until)
}

// add adds a change of the mailbox of that index, unless it is too far outside the time
// of the log to be half of a move in it.
func (l *logBuilder) add(mailbox int32, c *Change) {
	if !l.isWithin(c.At, moveMargin) {
		return
	}
	switch {
	case c.Kind == MessageArrived:
		l.matcher.arrivals = append(l.matcher.arrivals, c.arrival(mailbox, int32(len(l.changes))))
	case c.Kind == MessageGone && c.Message != nil:
		loss := c.loss()
		l.matcher.losses = append(l.matcher.losses, loss)
		l.changeOf[loss] = c
	}
	l.changes = append(l.changes, c)
}

// move is a loss together with the arrival of the same octets.
type move struct{ gone, arrived *Change }

// mergeMoves turns each arrival that has a loss into a MessageMoved.
func (l *logBuilder) mergeMoves() (moves []move) {
	l.matcher.match(func(loss *Loss, to *arrival) {
		m := move{l.changeOf[loss], l.changes[to.ref]}
		l.merged[m.gone] = true
		m.arrived.Kind, m.arrived.From = MessageMoved, &Location{m.gone.Mailbox, m.gone.Name, m.gone.Message}
		if m.gone.At.After(m.arrived.At) {
			m.arrived.At = m.gone.At
		}
		moves = append(moves, m)
	})
	for _, m := range moves {
		added, removed := missingFrom(m.gone.Flags, m.arrived.Flags), missingFrom(m.arrived.Flags, m.gone.Flags)
		if len(added)+len(removed) > 0 {
			c := *m.arrived
			c.Kind, c.From, c.Reason, c.FlagsAdded, c.FlagsRemoved = MessageFlags, nil, "", added, removed
			l.changes = append(l.changes, &c)
		}
	}
	return moves
}

// rename is a mailbox that vanished and one that appeared at about that time.
type rename struct{ vanished, opened *Change }

// mergeRenames turns a mailbox that vanished and one that was created, or returned, at
// about that time into one MailboxRenamed, if more than half of the messages that the
// one lost are in the other, and are more than half of what arrived there.
func (l *logBuilder) mergeRenames(moves []move) {
	openedBy, arrivals := l.arrivalsAtOpening()
	shared := map[rename][]move{}
	for _, m := range moves {
		if v, o := m.gone.vanished, openedBy[m.arrived]; v != nil && o != nil && v.Mailbox != o.Mailbox {
			r := rename{v, o}
			shared[r] = append(shared[r], m)
		}
	}
	// A mailbox is in at most one rename, since that has more than half of its messages.
	// All pairs are compared first: the loop after this one changes Kind and Count.
	renames := map[rename]bool{}
	for r, list := range shared {
		renames[r] = 2*len(list) > r.vanished.Count && 2*len(list) > arrivals[r.opened]
	}
	for r, ok := range renames {
		if !ok {
			continue
		}
		v, o := r.vanished, r.opened
		l.merged[v] = true
		for _, m := range shared[r] {
			l.merged[m.arrived] = true
		}
		o.Kind, o.From, o.Count = MailboxRenamed, &Location{Mailbox: v.Mailbox, Name: v.Name}, len(shared[r])
		if v.At.After(o.At) {
			o.At = v.At
		}
	}
}

// arrivalsAtOpening returns which arrivals came within maxMoveAfter of the opening of
// their mailbox, with that opening, and how many each opening has.
func (l *logBuilder) arrivalsAtOpening() (openedBy map[*Change]*Change, count map[*Change]int) {
	type presence struct { // the time of a mailbox at the server
		mailbox archive.MailboxDir
		epoch   int
	}
	openings := map[presence]*Change{}
	for _, c := range l.changes {
		if c.Kind == MailboxCreated || c.Kind == MailboxReturned {
			openings[presence{c.Mailbox, c.epoch}] = c
		}
	}
	openedBy, count = map[*Change]*Change{}, map[*Change]int{}
	for _, a := range l.matcher.arrivals {
		c := l.changes[a.ref]
		if o := openings[presence{c.Mailbox, c.epoch}]; o != nil && a.at <= o.At.Unix()+maxMoveAfter {
			openedBy[c] = o
			count[o]++
		}
	}
	return openedBy, count
}
