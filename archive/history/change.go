package history

import (
	"cmp"
	"slices"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// ChangeKind is what happened in an account, in the words of people.
type ChangeKind string

// The kinds of changes. The first five are a mailbox's.
const (
	MailboxCreated    ChangeKind = "created"
	MailboxVanished   ChangeKind = "vanished"   // the server no longer lists it
	MailboxReturned   ChangeKind = "returned"   // the server lists it again
	MailboxRenamed    ChangeKind = "renamed"    // one vanished as another appeared with its messages
	MailboxRenumbered ChangeKind = "renumbered" // UIDVALIDITY changed: its messages have other UIDs
	MessageArrived    ChangeKind = "arrived"
	MessageGone       ChangeKind = "gone"
	MessageMoved      ChangeKind = "moved" // gone as the same octets arrived elsewhere in the account
	MessageFlags      ChangeKind = "flags"
	MessageFailed     ChangeKind = "failed" // it could not be archived
)

// Change is one thing that happened in an account. Kind says which fields count.
type Change struct {
	At      time.Time // when archiverd saw it, UTC, to the second
	Kind    ChangeKind
	Mailbox archive.MailboxDir
	Name    archive.Name // of the mailbox at that time
	From    *Location    // of MessageMoved and MailboxRenamed: where from
	Message *archive.Message
	Flags   []string // of the message at that time

	UIDValidity    uint32
	OldUIDValidity uint32 // of MailboxRenumbered
	UID            uint32 // of a message's change
	// Count is, of MailboxVanished, the number of its messages; of MailboxRenumbered
	// and MailboxRenamed, of the messages that the mailbox still had after it.
	Count                    int
	FlagsAdded, FlagsRemoved []string // of MessageFlags, sorted
	// Reason is why a message could not be archived: of MessageFailed; of
	// MessageArrived, why not before; of MessageGone, why it never was, and Message
	// is nil then.
	Reason string

	epoch    int     // index of the mailbox's epoch
	vanished *Change // of MessageGone: the MailboxVanished that took the message along
}

// Location is where a message was or, with a nil Message, where a mailbox was.
type Location struct {
	Mailbox archive.MailboxDir
	Name    archive.Name
	Message *archive.Message
}

// changeTracker turns the events of one journal into changes. It reports a change as
// soon as it is certain: what a renumbering has lost, at the end of the new epoch.
type changeTracker struct {
	mailbox archive.MailboxDir
	view    archive.View
	report  func(*Change)

	renumbered *Change                            // the current epoch began with it; nil: it did not
	unmatched  map[archive.Sum][]*archive.Message // of the epoch before: not yet found in this one, by UID
}

// trackChanges reports the changes of a mailbox up to a time, zero for all, and
// returns the mailbox as it was then. With ErrCorrupt both stop before the fault.
func trackChanges(a *archive.Archive, b archive.MailboxDir, until time.Time, report func(*Change)) (*archive.View, error) {
	t := &changeTracker{mailbox: b, report: report}
	err := a.ReplayUntil(b, until, func(e archive.Event) error {
		if t.view.Epoch() == nil && e.Kind != archive.Opened {
			t.view.Apply(e)
			return nil
		}
		return archive.Visit(e, t)
	})
	t.reportUnmatched()
	return &t.view, err
}

// change makes a change in the mailbox, of m if that is not nil.
func (t *changeTracker) change(kind ChangeKind, at time.Time, m *archive.Message) *Change {
	c := &Change{At: at, Kind: kind, Mailbox: t.mailbox, Name: t.view.Name, epoch: len(t.view.Epochs) - 1}
	if ep := t.view.Epoch(); ep != nil {
		c.UIDValidity = ep.UIDValidity
	}
	if m != nil {
		c.Message, c.UIDValidity, c.UID, c.Flags = m, m.UIDValidity, m.UID, m.Flags
	}
	return c
}

// VisitOpened implements archive.Visitor.
func (t *changeTracker) VisitOpened(e archive.Event) error {
	t.reportUnmatched()
	v := &t.view
	ep, vanished := v.Epoch(), !v.Vanished.IsZero()
	v.Apply(e)
	switch {
	case ep == nil:
		t.report(t.change(MailboxCreated, e.At, nil))
	case vanished:
		t.report(t.change(MailboxReturned, e.At, nil))
	default:
		t.renumbered = t.change(MailboxRenumbered, e.At, nil)
		t.renumbered.OldUIDValidity = ep.UIDValidity
		t.report(t.renumbered)
		t.unmatched = map[archive.Sum][]*archive.Message{}
		for _, m := range ep.Sorted() {
			if m.Listed() {
				t.unmatched[m.Sum] = append(t.unmatched[m.Sum], m)
			}
		}
	}
	return nil
}

// VisitAdded implements archive.Visitor.
func (t *changeTracker) VisitAdded(e archive.Event) error {
	ep := t.view.Epoch()
	replaced, reason := ep.Messages[e.UID], ep.Failed[e.UID]
	t.view.Apply(e)
	t.reportAdded(ep.Messages[e.UID], replaced, reason)
	return nil
}

// maxCompared is among how many messages with the same octets a renumbered message or
// a move is searched: a mailbox may have a hundred thousand of them.
const maxCompared = 64

// reportAdded reports m, which replaces a message of its UID if replaced is not nil. A
// message of the epoch before a renumbering is no arrival, unless it appears much
// later.
func (t *changeTracker) reportAdded(m, replaced *archive.Message, reason string) {
	if replaced != nil && replaced.Listed() {
		if replaced.Sum == m.Sum {
			t.reportFlags(m.Added, replaced.Flags, m)
			return
		}
		t.report(t.change(MessageGone, m.Added, replaced))
	}
	if old := t.unmatched[m.Sum]; len(old) > 0 && m.Added.Unix() <= t.renumbered.At.Unix()+maxMoveAfter {
		likely := old[:min(len(old), maxCompared)]
		i := max(0, slices.IndexFunc(likely, func(o *archive.Message) bool { return slices.Equal(o.Flags, m.Flags) }))
		old[0], old[i] = old[i], old[0]
		t.unmatched[m.Sum] = old[1:]
		t.renumbered.Count++
		t.reportFlags(m.Added, old[0].Flags, m)
		return
	}
	c := t.change(MessageArrived, m.Added, m)
	c.Reason = reason
	t.report(c)
}

// VisitFlags implements archive.Visitor.
func (t *changeTracker) VisitFlags(e archive.Event) error {
	if m := t.view.Epoch().Messages[e.UID]; m != nil {
		before := m.Flags
		t.view.Apply(e)
		t.reportFlags(e.At, before, m)
	}
	return nil
}

// reportFlags reports the flags that m got and lost, if the server lists m.
func (t *changeTracker) reportFlags(at time.Time, before []string, m *archive.Message) {
	added, removed := missingFrom(before, m.Flags), missingFrom(m.Flags, before)
	if !m.Listed() || len(added)+len(removed) == 0 {
		return
	}
	c := t.change(MessageFlags, at, m)
	c.FlagsAdded, c.FlagsRemoved = added, removed
	t.report(c)
}

// missingFrom returns the flags that are not in list.
func missingFrom(list, flags []string) (out []string) {
	for _, f := range flags {
		if !slices.Contains(list, f) {
			out = append(out, f)
		}
	}
	return out
}

// VisitGone implements archive.Visitor.
func (t *changeTracker) VisitGone(e archive.Event) error {
	ep := t.view.Epoch()
	var uids []uint32
	for u := range uid.KeysIn(ep.Messages, e.UIDs) {
		if ep.Messages[u].Listed() {
			uids = append(uids, u)
		}
	}
	failed := map[uint32]string{}
	for u := range uid.KeysIn(ep.Failed, e.UIDs) {
		failed[u] = ep.Failed[u]
		uids = append(uids, u)
	}
	t.view.Apply(e)
	slices.Sort(uids)
	for _, u := range slices.Compact(uids) {
		if reason, ok := failed[u]; ok {
			c := t.change(MessageGone, e.At, nil)
			c.UID, c.Reason = u, reason
			t.report(c)
			continue
		}
		t.report(t.change(MessageGone, e.At, ep.Messages[u]))
	}
	return nil
}

// VisitFailed implements archive.Visitor.
func (t *changeTracker) VisitFailed(e archive.Event) error {
	ep := t.view.Epoch()
	before := ep.Failed[e.UID]
	t.view.Apply(e)
	if reason, ok := ep.Failed[e.UID]; ok && reason != before {
		c := t.change(MessageFailed, e.At, nil)
		c.UID, c.Reason = e.UID, reason
		t.report(c)
	}
	return nil
}

// VisitVanished implements archive.Visitor.
func (t *changeTracker) VisitVanished(e archive.Event) error {
	t.reportUnmatched()
	repeated := !t.view.Vanished.IsZero()
	t.view.Apply(e)
	if repeated {
		return nil
	}
	c := t.change(MailboxVanished, e.At, nil)
	t.report(c)
	for _, m := range t.view.Epoch().Sorted() {
		if m.Listed() {
			gone := t.change(MessageGone, e.At, m)
			gone.vanished = c
			c.Count++
			t.report(gone)
		}
	}
	return nil
}

// VisitUnknown implements archive.Visitor.
func (t *changeTracker) VisitUnknown(e archive.Event) error {
	t.view.Apply(e)
	return nil
}

// reportUnmatched reports what a renumbering has lost: messages of the epoch before
// that the current one did not have. Call it at the end of an epoch.
func (t *changeTracker) reportUnmatched() {
	var lost []*archive.Message
	for _, list := range t.unmatched {
		lost = append(lost, list...)
	}
	slices.SortFunc(lost, func(a, b *archive.Message) int { return cmp.Compare(a.UID, b.UID) })
	for _, m := range lost {
		c := t.change(MessageGone, t.renumbered.At, m)
		c.epoch-- // change sets the current epoch; the message was in the one before
		t.report(c)
	}
	t.unmatched, t.renumbered = nil, nil
}
