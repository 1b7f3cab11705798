package archive

import (
	"fmt"
	"iter"
	"path"
	"strings"
	"time"
)

// Selection says which messages of an archive are meant. The zero value means
// all that the servers still had when they were last asked.
type Selection struct {
	Account string          // its directory; "": all accounts
	Mailbox func(Name) bool // says whether a mailbox is meant; nil: all are
	// At means the mailboxes as they were then, to the second, with the messages
	// and the flags that they had; zero: as they were when last asked.
	At time.Time
	// A message's INTERNALDATE is at or after After, and before Before; zero:
	// whatever it is. A message without one is meant only where neither is set.
	After, Before time.Time
	// Gone means those instead that the server no longer has: what disappeared
	// from the mailbox and did not, as far as the archive knows, come back, and was
	// not moved to another mailbox of the account. To be renumbered makes no
	// message gone. Gone of each of the messages is when it disappeared.
	Gone bool
	// Since means, with Gone, only what disappeared then or later; zero: whenever.
	Since time.Time
	// Match says whether a message is meant that all of the above means; nil: each
	// is. Its error is one of the mailbox. Mailboxes may be asked about at once.
	Match func(MailboxDir, *Message) (bool, error)

	losses map[MailboxDir][]*Loss // of every account that is meant, with Gone; nil: not prepared
}

// Selected is what a Selection means in one mailbox.
type Selected struct {
	Mailbox  MailboxDir
	Name     Name
	Listed   bool       // the server still listed the mailbox when it was last asked, or at At
	Messages []*Message // by epoch and UID
}

// ID is what people call a message of the mailbox: its path in the archive.
func (b MailboxDir) ID(m *Message) string { return path.Join(b.Dir, m.Path) }

// Journal is the path of the mailbox's journal in the archive.
func (b MailboxDir) Journal() string { return path.Join(b.Dir, journalName) }

// Listed says whether the server still has a message of one of the view's epochs,
// as far as the view tells.
func (v *View) Listed(ep *Epoch, m *Message) bool {
	return ep == v.Epoch() && m.Listed() && v.Vanished.IsZero()
}

// Selected yields what s means, one mailbox after the other by directory, also
// those that it means with no message in them. An error is of one mailbox, as
// that of Select, and the next is yielded all the same; only with a nil
// Selected can't the archive's directories be read.
func (a *Archive) Selected(s Selection) iter.Seq2[*Selected, error] {
	return func(yield func(*Selected, error) bool) {
		boxes, err := a.Mailboxes(s.Account)
		if err == nil {
			s, err = a.Prepare(s)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, b := range boxes {
			sel, err := a.Select(b, s)
			if (sel != nil || err != nil) && !yield(sel, err) {
				return
			}
		}
	}
}

// Prepare reads for a selection of what is gone, where that may have been moved
// to: the journals of all mailboxes that are meant. Select does so by itself, each
// time, for a selection that is not prepared.
func (a *Archive) Prepare(s Selection) (Selection, error) {
	if !s.Gone || s.losses != nil {
		return s, nil
	}
	accounts := []string{s.Account}
	if s.Account == "" {
		var err error
		if accounts, err = a.Accounts(); err != nil {
			return s, err
		}
	}
	s.losses = map[MailboxDir][]*Loss{}
	for _, account := range accounts {
		losses, err := a.Losses(account, s.At, nil)
		if err != nil {
			return s, err
		}
		for _, l := range losses {
			s.losses[l.Mailbox] = append(s.losses[l.Mailbox], l)
		}
	}
	return s, nil
}

// Select returns what s means in a mailbox, nil if it does not mean the mailbox
// at all, or nothing was committed there by then. With an error the Selected has no
// messages, and where the journal is corrupt from its start on a Name made of
// the directory's; ErrCorrupt names file, line and remedy.
func (a *Archive) Select(b MailboxDir, s Selection) (*Selected, error) {
	v, err := a.FoldAt(b, s.At)
	if err == nil && v.Epoch() == nil {
		return nil, nil
	}
	sel := &Selected{Mailbox: b, Name: v.Name, Listed: v.Vanished.IsZero()}
	if v.Epoch() == nil {
		sel.Name = Name{Mailbox: strings.TrimPrefix(b.Dir, b.Account+"/"), Delimiter: "/"}
	}
	if s.Account != "" && s.Account != b.Account || s.Mailbox != nil && !s.Mailbox(sel.Name) {
		return nil, nil
	}
	if err != nil {
		return sel, fmt.Errorf("select from mailbox %s: %w", b.Dir, err)
	}
	messages := v.here()
	if s.Gone {
		if s.losses == nil {
			of := s
			of.Account = b.Account
			if of, err = a.Prepare(of); err != nil {
				return sel, err
			}
			s.losses = of.losses
		}
		messages = s.lost(b, v)
	}
	for _, m := range messages {
		meant := s.Within(m.InternalDate)
		if meant && s.Match != nil {
			if meant, err = s.Match(b, m); err != nil {
				sel.Messages = nil
				return sel, fmt.Errorf("select from mailbox %s: %w", b.Dir, err)
			}
		}
		if meant {
			sel.Messages = append(sel.Messages, m)
		}
	}
	return sel, nil
}

// Within says whether the selection means messages of that INTERNALDATE.
func (s Selection) Within(date time.Time) bool {
	if s.After.IsZero() && s.Before.IsZero() {
		return true
	}
	return !date.IsZero() && !date.Before(s.After) && (s.Before.IsZero() || date.Before(s.Before))
}

// here are the messages that the server still has, by UID.
func (v *View) here() (out []*Message) {
	for ep, m := range v.All() {
		if v.Listed(ep, m) {
			out = append(out, m)
		}
	}
	return out
}

// lost are the messages that the server no longer has and Selection.Gone means.
func (s *Selection) lost(b MailboxDir, v *View) (out []*Message) {
	type key struct {
		epoch int
		uid   uint32
	}
	of := map[key]*Loss{}
	for _, l := range s.losses[b] { // by time: the last counts
		of[key{l.epoch, l.Message.UID}] = l
	}
	for i, ep := range v.Epochs {
		for _, m := range ep.Sorted() {
			if l := of[key{i, m.UID}]; l != nil && l.To == nil && !v.Listed(ep, m) && !l.At.Before(s.Since) {
				m.Gone = l.At
				out = append(out, m)
			}
		}
	}
	return out
}
