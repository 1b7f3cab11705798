package history

import (
	"fmt"
	"iter"
	"strings"
	"time"

	"archiverd/archive"
)

// Selection says which messages of an archive are meant. The zero value means all
// messages that the servers listed when they were last asked.
type Selection struct {
	Account string                  // its directory; "": all accounts
	Mailbox func(archive.Name) bool // reports whether a mailbox is meant; nil: all are
	// At means the mailboxes as they were at that second, with the messages and the
	// flags that they had; zero: as they were when last asked.
	At time.Time
	// After and Before mean messages with an INTERNALDATE at or after After and before
	// Before; zero: no bound. A message without a date is meant only if neither is set.
	After, Before time.Time
	// Gone means the messages instead that the server no longer has: they disappeared
	// from the mailbox and, as far as the archive knows, neither came back nor were
	// moved to another mailbox of the account. A UIDVALIDITY change alone does not
	// count as a deletion. Message.Gone is then when the message disappeared.
	Gone bool
	// Since, with Gone, selects only what disappeared at that time or later; zero: at
	// any time.
	Since time.Time
	// Match reports whether a message is meant that all of the above means; nil: each
	// is. Its error is one of the mailbox. It may be called for several mailboxes at
	// the same time.
	Match func(archive.MailboxDir, *archive.Message) (bool, error)

	losses map[archive.MailboxDir][]*Loss // with Gone, of every account that is meant; nil: not prepared
}

// Selected is what a Selection means in one mailbox.
type Selected struct {
	Mailbox  archive.MailboxDir
	Name     archive.Name
	Listed   bool               // the server still listed the mailbox when it was last asked, or at At
	Messages []*archive.Message // by epoch and UID
}

// Select yields what s means in each mailbox, by directory, including mailboxes that
// s means without any message in them. An error concerns one mailbox, as that of
// SelectMailbox, and the iteration goes on; only with a nil Selected could the
// directories of the archive not be read.
func Select(a *archive.Archive, s Selection) iter.Seq2[*Selected, error] {
	return func(yield func(*Selected, error) bool) {
		mailboxes, err := a.Mailboxes(s.Account)
		if err == nil {
			s, err = s.Prepare(a)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, b := range mailboxes {
			sel, err := SelectMailbox(a, b, s)
			if (sel != nil || err != nil) && !yield(sel, err) {
				return
			}
		}
	}
}

// Prepare returns s with what SelectMailbox needs for a selection with Gone: it reads
// the journals of all accounts that are meant, since a message may have been moved to
// any mailbox. SelectMailbox does so itself, each time, for a selection that is not
// prepared.
func (s Selection) Prepare(a *archive.Archive) (Selection, error) {
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
	s.losses = map[archive.MailboxDir][]*Loss{}
	for _, account := range accounts {
		losses, err := Losses(a, account, s.At, nil)
		if err != nil {
			return s, err
		}
		for _, l := range losses {
			s.losses[l.Mailbox] = append(s.losses[l.Mailbox], l)
		}
	}
	return s, nil
}

// SelectMailbox returns what s means in one mailbox, nil if s does not mean the mailbox
// or nothing was committed there by then. With an error the Selected has no messages,
// and its Name is made from the directory's if the journal is corrupt from its start;
// ErrCorrupt names file, line and remedy.
func SelectMailbox(a *archive.Archive, b archive.MailboxDir, s Selection) (*Selected, error) {
	v, err := a.FoldAt(b, s.At)
	if err == nil && v.Epoch() == nil {
		return nil, nil
	}
	sel := &Selected{Mailbox: b, Name: v.Name, Listed: v.Vanished.IsZero()}
	if v.Epoch() == nil {
		sel.Name = archive.Name{Mailbox: strings.TrimPrefix(b.Dir, b.Account+"/"), Delimiter: "/"}
	}
	if s.Account != "" && s.Account != b.Account || s.Mailbox != nil && !s.Mailbox(sel.Name) {
		return nil, nil
	}
	if err == nil {
		sel.Messages, err = s.messages(a, b, v)
	}
	if err != nil {
		return sel, fmt.Errorf("select from mailbox %s: %w", b.Dir, err)
	}
	return sel, nil
}

// messages returns the messages of the mailbox that s means; v is its view at At.
func (s Selection) messages(a *archive.Archive, b archive.MailboxDir, v *archive.View) ([]*archive.Message, error) {
	all := listedMessages(v)
	if s.Gone {
		if s.losses == nil {
			account := s
			account.Account = b.Account
			prepared, err := account.Prepare(a)
			if err != nil {
				return nil, err
			}
			s.losses = prepared.losses
		}
		all = s.goneMessages(b, v)
	}
	var out []*archive.Message
	for _, m := range all {
		if !s.IncludesDate(m.InternalDate) {
			continue
		}
		if s.Match != nil {
			if ok, err := s.Match(b, m); err != nil {
				return nil, err
			} else if !ok {
				continue
			}
		}
		out = append(out, m)
	}
	return out, nil
}

// IncludesDate reports whether s means messages with that INTERNALDATE.
func (s Selection) IncludesDate(date time.Time) bool {
	if s.After.IsZero() && s.Before.IsZero() {
		return true
	}
	return !date.IsZero() && !date.Before(s.After) && (s.Before.IsZero() || date.Before(s.Before))
}

// listedMessages are the messages that the server lists, by UID.
func listedMessages(v *archive.View) (out []*archive.Message) {
	for ep, m := range v.All() {
		if v.Listed(ep, m) {
			out = append(out, m)
		}
	}
	return out
}

// goneMessages are the messages that Selection.Gone means, by epoch and UID.
func (s *Selection) goneMessages(b archive.MailboxDir, v *archive.View) (out []*archive.Message) {
	type key struct {
		epoch int
		uid   uint32
	}
	last := map[key]*Loss{}
	for _, l := range s.losses[b] { // by time: the last loss of a message counts
		last[key{l.epoch, l.Message.UID}] = l
	}
	for i, ep := range v.Epochs {
		for _, m := range ep.Sorted() {
			if l := last[key{i, m.UID}]; l != nil && l.To == nil && !v.Listed(ep, m) && archive.HappenedBetween(l.At, s.Since, s.At) {
				m.Gone = l.At
				out = append(out, m)
			}
		}
	}
	return out
}
