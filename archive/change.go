package archive

import (
	"errors"
	"slices"
	"time"
)

// ChangeKind is what happened in an account, as a person would say it.
type ChangeKind string

// The kinds of changes. The first five are a mailbox's.
const (
	MailboxCreated    ChangeKind = "created"
	MailboxVanished   ChangeKind = "vanished"   // the server lists it no more
	MailboxReturned   ChangeKind = "returned"   // the server lists it again
	MailboxRenamed    ChangeKind = "renamed"    // one vanished as another came, with its messages
	MailboxRenumbered ChangeKind = "renumbered" // its messages have other UIDs now
	MessageArrived    ChangeKind = "arrived"
	MessageGone       ChangeKind = "gone"
	MessageMoved      ChangeKind = "moved" // gone as the same octets arrived elsewhere in the account
	MessageFlags      ChangeKind = "flags"
	MessageFailed     ChangeKind = "failed" // it could not be archived
)

// Change is one thing that happened in an account. Which fields count depends on Kind.
type Change struct {
	At      time.Time // when archiverd saw it, UTC, to the second
	Kind    ChangeKind
	Mailbox MailboxDir
	Name    Name      // of the mailbox then
	From    *Location // of MessageMoved and MailboxRenamed: where from
	Message *Message
	Flags   []string // that the message had then

	UIDValidity              uint32
	OldUIDValidity           uint32   // of MailboxRenumbered
	UID                      uint32   // of a message's change
	Count                    int      // of MailboxVanished, its messages; of MailboxRenumbered and MailboxRenamed, those that were carried on
	FlagsAdded, FlagsRemoved []string // of MessageFlags, sorted
	// Reason is why a message could not be archived, of MessageFailed; of
	// MessageArrived why it could not be before, and of MessageGone why it never
	// was: then Message is nil.
	Reason string

	epoch int     // of the mailbox, counted from 0
	with  *Change // of MessageGone: the MailboxVanished that it went with
}

// Location is where a message was, or a mailbox, whose Message is nil.
type Location struct {
	Mailbox MailboxDir
	Name    Name
	Message *Message
}

// walker tells a journal's events as changes. A change is told when it is known:
// what a renumbering has lost is told at the end of the epoch.
type walker struct {
	box  MailboxDir
	view View
	tell func(*Change)

	renumbered *Change            // that began the epoch, if one did
	old        map[Sum][]*Message // what the epoch before it had, and this one has not yet shown, by UID
}

// changes tells the changes of a mailbox up to a time, zero for all, and returns it as
// it was then. With ErrCorrupt both are of what stands before the fault.
func (a *Archive) changes(b MailboxDir, until time.Time, tell func(*Change)) (*View, error) {
	w := &walker{box: b, tell: tell}
	_, err := a.Replay(b, Position{}, func(e Event) error {
		if !until.IsZero() && e.At.After(until) {
			return errLater
		}
		w.step(e)
		return nil
	})
	if errors.Is(err, errLater) {
		err = nil
	}
	w.settle()
	return &w.view, err
}

// change makes a change in the mailbox, of m if that is not nil.
func (w *walker) change(kind ChangeKind, at time.Time, m *Message) *Change {
	c := &Change{At: at, Kind: kind, Mailbox: w.box, Name: w.view.Name, epoch: len(w.view.Epochs) - 1}
	if ep := w.view.Epoch(); ep != nil {
		c.UIDValidity = ep.UIDValidity
	}
	if m != nil {
		c.Message, c.UIDValidity, c.UID, c.Flags = m, m.UIDValidity, m.UID, m.Flags
	}
	return c
}

// step folds an event in and tells what it changes.
func (w *walker) step(e Event) {
	if w.view.Epoch() == nil && e.Kind != Opened {
		w.view.Apply(e)
		return
	}
	_ = Visit(e, w) // it never fails
}

// VisitAdded implements Visitor.
func (w *walker) VisitAdded(e Event) error {
	ep := w.view.Epoch()
	was, reason := ep.Messages[e.UID], ep.Failed[e.UID]
	w.view.Apply(e)
	w.added(was, ep.Messages[e.UID], reason)
	return nil
}

// VisitFlags implements Visitor.
func (w *walker) VisitFlags(e Event) error {
	if m := w.view.Epoch().Messages[e.UID]; m != nil {
		before := m.Flags
		w.view.Apply(e)
		w.flags(e.At, before, m)
	}
	return nil
}

// VisitFailed implements Visitor.
func (w *walker) VisitFailed(e Event) error {
	ep := w.view.Epoch()
	before := ep.Failed[e.UID]
	w.view.Apply(e)
	if reason, ok := ep.Failed[e.UID]; ok && reason != before {
		c := w.change(MessageFailed, e.At, nil)
		c.UID, c.Reason = e.UID, reason
		w.tell(c)
	}
	return nil
}

// VisitVanished implements Visitor.
func (w *walker) VisitVanished(e Event) error {
	w.settle()
	v := &w.view
	again := !v.Vanished.IsZero()
	v.Apply(e)
	if again {
		return nil
	}
	c := w.change(MailboxVanished, e.At, nil)
	w.tell(c)
	for _, m := range v.Epoch().Sorted() {
		if m.Listed() {
			gone := w.change(MessageGone, e.At, m)
			gone.with = c
			c.Count++
			w.tell(gone)
		}
	}
	return nil
}

// VisitUnknown implements Visitor.
func (w *walker) VisitUnknown(e Event) error {
	w.view.Apply(e)
	return nil
}

// VisitOpened implements Visitor.
func (w *walker) VisitOpened(e Event) error {
	w.settle()
	v := &w.view
	ep, vanished := v.Epoch(), !v.Vanished.IsZero()
	v.Apply(e)
	switch {
	case ep == nil:
		w.tell(w.change(MailboxCreated, e.At, nil))
	case vanished:
		w.tell(w.change(MailboxReturned, e.At, nil))
	default:
		w.renumbered = w.change(MailboxRenumbered, e.At, nil)
		w.renumbered.OldUIDValidity = ep.UIDValidity
		w.tell(w.renumbered)
		w.old = map[Sum][]*Message{}
		for _, m := range ep.Sorted() {
			if m.Listed() {
				w.old[m.Sum] = append(w.old[m.Sum], m)
			}
		}
	}
	return nil
}

// added tells of m, which takes the place of was if that is not nil. What the
// epoch before had is no arrival, unless it comes much later.
func (w *walker) added(was, m *Message, reason string) {
	if was != nil && was.Listed() && was.Sum == m.Sum {
		w.flags(m.Added, was.Flags, m)
		return
	}
	if was != nil && was.Listed() {
		w.tell(w.change(MessageGone, m.Added, was))
	}
	if old := w.old[m.Sum]; len(old) > 0 && m.Added.Unix() <= w.renumbered.At.Unix()+movedLater {
		likely := old[:min(len(old), mostTwins)]
		i := max(0, slices.IndexFunc(likely, func(o *Message) bool { return slices.Equal(o.Flags, m.Flags) }))
		old[0], old[i] = old[i], old[0]
		w.old[m.Sum] = old[1:]
		w.renumbered.Count++
		w.flags(m.Added, old[0].Flags, m)
		return
	}
	c := w.change(MessageArrived, m.Added, m)
	c.Reason = reason
	w.tell(c)
}

// mostTwins is among how many messages of the same octets the likeliest is looked
// for: a server may have a hundred thousand of them.
const mostTwins = 64

// flags tells which flags of m came and went.
func (w *walker) flags(at time.Time, before []string, m *Message) {
	if came, went := minus(m.Flags, before), minus(before, m.Flags); m.Listed() && len(came)+len(went) > 0 {
		c := w.change(MessageFlags, at, m)
		c.FlagsAdded, c.FlagsRemoved = came, went
		w.tell(c)
	}
}

// minus are the flags of a that are not in b.
func minus(a, b []string) (out []string) {
	for _, f := range a {
		if !slices.Contains(b, f) {
			out = append(out, f)
		}
	}
	return out
}

// VisitGone implements Visitor.
func (w *walker) VisitGone(e Event) error {
	ep := w.view.Epoch()
	var uids []uint32
	for u := range within(e.UIDs, ep.Messages) {
		if ep.Messages[u].Listed() {
			uids = append(uids, u)
		}
	}
	failed := map[uint32]string{}
	for u := range within(e.UIDs, ep.Failed) {
		failed[u] = ep.Failed[u]
		uids = append(uids, u)
	}
	w.view.Apply(e)
	slices.Sort(uids)
	for _, u := range slices.Compact(uids) {
		if reason, never := failed[u]; never {
			c := w.change(MessageGone, e.At, nil)
			c.UID, c.Reason = u, reason
			w.tell(c)
			continue
		}
		w.tell(w.change(MessageGone, e.At, ep.Messages[u]))
	}
	return nil
}

// settle tells what a renumbering has lost: what the epoch did not show again.
func (w *walker) settle() {
	var lost []*Message
	for _, list := range w.old {
		lost = append(lost, list...)
	}
	slices.SortFunc(lost, func(a, b *Message) int { return int(int64(a.UID) - int64(b.UID)) })
	for _, m := range lost {
		c := w.change(MessageGone, w.renumbered.At, m)
		c.epoch-- // the one that had it
		w.tell(c)
	}
	w.old, w.renumbered = nil, nil
}
