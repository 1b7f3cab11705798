package archive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Log returns what happened in an account from since to until, both included and
// zero for no bound, by time and mailbox. It reads every journal of the account
// once, since a message that is gone here may have arrived anywhere, and holds
// what happened in that time. A mailbox whose journal can't be read, in whole or
// at all, is an error beside the changes of all others, and of what stands before
// its fault.
func (a *Archive) Log(account string, since, until time.Time) ([]*Change, error) {
	boxes, err := a.Mailboxes(account)
	if err != nil {
		return nil, err
	}
	l := &logger{since: since, until: until, dropped: map[*Change]bool{}}
	var errs error
	for i, b := range boxes {
		if _, err := a.changes(b, time.Time{}, func(c *Change) { l.add(int32(i), c) }); err != nil {
			errs = errors.Join(errs, fmt.Errorf("log of mailbox %s: %w", b.Dir, err))
		}
	}
	moves := l.moves(boxes)
	l.renames(moves)
	out := slices.DeleteFunc(l.changes, func(c *Change) bool { return l.dropped[c] || !l.within(c.At, 0) })
	slices.SortStableFunc(out, func(x, y *Change) int { return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Mailbox.Dir, y.Mailbox.Dir)) })
	return out, errs
}

// logger makes one account's log of what happened in its mailboxes.
type logger struct {
	since, until time.Time
	changes      []*Change
	losses       []*Loss
	lost         map[*Loss]*Change
	arrivals     []arrived
	dropped      map[*Change]bool // told as a part of another
}

// within says whether a time is in the log's, which is longer by a margin at both ends.
func (l *logger) within(t time.Time, margin time.Duration) bool {
	return !t.Before(l.since.Add(-margin)) && (l.until.IsZero() || !t.Truncate(time.Second).After(l.until.Add(margin)))
}

// margin is how far the two halves of a move may be apart.
const margin = movedLater * time.Second

// add notes a change of the mailbox of that index, if it can be of use.
func (l *logger) add(box int32, c *Change) {
	if !l.within(c.At, margin) {
		return
	}
	switch {
	case c.Kind == MessageArrived:
		m := c.Message
		l.arrivals = append(l.arrivals, arrived{m.Sum, c.At.Unix(), box, m.UIDValidity, m.UID, int32(len(l.changes))})
	case c.Kind == MessageGone && c.Message != nil:
		loss := c.loss()
		l.losses = append(l.losses, loss)
		if l.lost == nil {
			l.lost = map[*Loss]*Change{}
		}
		l.lost[loss] = c
	}
	l.changes = append(l.changes, c)
}

// move is a loss that was none: its message arrived elsewhere.
type move struct{ gone, arrived *Change }

// moves makes each arrival of what disappeared elsewhere a move.
func (l *logger) moves(boxes []MailboxDir) (out []move) {
	p := &pairing{boxes: boxes, losses: l.losses, arrivals: l.arrivals}
	p.pair(func(loss *Loss, to *arrived) {
		m := move{l.lost[loss], l.changes[to.ref]}
		l.dropped[m.gone] = true
		m.arrived.Kind, m.arrived.From = MessageMoved, &Location{m.gone.Mailbox, m.gone.Name, m.gone.Message}
		if m.gone.At.After(m.arrived.At) {
			m.arrived.At = m.gone.At
		}
		out = append(out, m)
	})
	for _, m := range out {
		if came, went := minus(m.arrived.Flags, m.gone.Flags), minus(m.gone.Flags, m.arrived.Flags); len(came)+len(went) > 0 {
			c := *m.arrived
			c.Kind, c.From, c.Reason, c.FlagsAdded, c.FlagsRemoved = MessageFlags, nil, "", came, went
			l.changes = append(l.changes, &c)
		}
	}
	return out
}

// renames makes one change of a mailbox that vanished and one that was created, or
// returned, at about that time, if most of what the one lost is in the other, and
// is most of what came there.
func (l *logger) renames(moves []move) {
	type stay struct { // of a mailbox at the server
		box   MailboxDir
		epoch int
	}
	openings := map[stay]*Change{}
	for _, c := range l.changes {
		if c.Kind == MailboxCreated || c.Kind == MailboxReturned {
			openings[stay{c.Mailbox, c.epoch}] = c
		}
	}
	came := map[*Change]*Change{} // by a message's arrival: the opening of the mailbox, not long before
	arrivals := map[*Change]int{} // by that
	for _, a := range l.arrivals {
		c := l.changes[a.ref]
		if o := openings[stay{c.Mailbox, c.epoch}]; o != nil && a.at <= o.At.Unix()+movedLater {
			came[c] = o
			arrivals[o]++
		}
	}
	shared := map[[2]*Change][]move{} // by what vanished and what was opened
	for _, m := range moves {
		if v, o := m.gone.with, came[m.arrived]; v != nil && o != nil && v.Mailbox != o.Mailbox {
			key := [2]*Change{v, o}
			shared[key] = append(shared[key], m)
		}
	}
	renamed := map[[2]*Change]bool{}
	for key, list := range shared {
		// More than half of both: no mailbox has two such partners.
		if v, o := key[0], key[1]; 2*len(list) > v.Count && 2*len(list) > arrivals[o] {
			renamed[key] = true
		}
	}
	for key := range renamed {
		v, o := key[0], key[1]
		l.dropped[v] = true
		for _, m := range shared[key] {
			l.dropped[m.arrived] = true
		}
		o.Kind, o.From, o.Count = MailboxRenamed, &Location{Mailbox: v.Mailbox, Name: v.Name}, len(shared[key])
		if v.At.After(o.At) {
			o.At = v.At
		}
	}
}
