package archive

import (
	"fmt"
	"iter"
	"path"
	"slices"
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
	// Gone means those instead that the server no longer has. A message that a
	// mailbox held several times, under other UIDs in an older epoch, counts as
	// often as the epoch that had it most often, less what is still there of
	// the same octets: to be renumbered makes no message gone.
	Gone bool
	// Since means, with Gone, only what disappeared then or later; zero: whenever.
	Since time.Time
	// Match says whether a message is meant that all of the above means; nil: each
	// is. Its error is one of the mailbox. Mailboxes may be asked about at once.
	Match func(Box, *Message) (bool, error)
}

// Selected is what a Selection means in one mailbox.
type Selected struct {
	Box      Box
	Name     Name
	Here     bool       // the server still listed the mailbox when it was last asked, or at At
	Messages []*Message // by epoch and UID
}

// ID is what people call a message of the mailbox: its path in the archive.
func (b Box) ID(m *Message) string { return path.Join(b.Dir, m.Path) }

// Journal is the path of the mailbox's journal in the archive.
func (b Box) Journal() string { return path.Join(b.Dir, journalName) }

// Here says whether the server still has a message of one of the view's epochs,
// as far as the view tells.
func (v *View) Here(ep *Epoch, m *Message) bool {
	return ep == v.Epoch() && m.Here() && v.Vanished.IsZero()
}

// GoneAt is when a message of one of the view's epochs disappeared: by itself, or
// with its mailbox or epoch. Zero: the server still has it.
func (v *View) GoneAt(ep *Epoch, m *Message) time.Time {
	if !m.Here() {
		return m.Gone
	}
	return ep.Ended
}

// Selected yields what s means, one mailbox after the other by directory, also
// those that it means with no message in them. An error is of one mailbox, as
// that of Select, and the next is yielded all the same; only with a nil
// Selected can't the archive's directories be read.
func (a *Archive) Selected(s Selection) iter.Seq2[*Selected, error] {
	return func(yield func(*Selected, error) bool) {
		boxes, err := a.Boxes(s.Account)
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

// Select returns what s means in a mailbox, nil if it does not mean the mailbox
// at all, or nothing was committed there by then. With an error the Selected has no
// messages, and where the journal is corrupt from its start on a Name made of
// the directory's; ErrCorrupt names file, line and remedy.
func (a *Archive) Select(b Box, s Selection) (*Selected, error) {
	v, err := a.FoldAt(b, s.At)
	if err == nil && v.Epoch() == nil {
		return nil, nil
	}
	sel := &Selected{Box: b, Name: v.Name, Here: v.Vanished.IsZero()}
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
		messages = v.gone(s.Since)
	}
	for _, m := range messages {
		meant := s.within(m.InternalDate)
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

// within says whether the selection means messages of that INTERNALDATE.
func (s Selection) within(date time.Time) bool {
	if s.After.IsZero() && s.Before.IsZero() {
		return true
	}
	return !date.IsZero() && !date.Before(s.After) && (s.Before.IsZero() || date.Before(s.Before))
}

// here are the messages that the server still has, by UID.
func (v *View) here() (out []*Message) {
	for ep, m := range v.All() {
		if v.Here(ep, m) {
			out = append(out, m)
		}
	}
	return out
}

// gone are the messages that the server no longer has, as Selection.Gone counts
// them, and that disappeared at since or later, by epoch and UID. Of a message
// that was renumbered it is the last that is meant: it has the flags of last time.
func (v *View) gone(since time.Time) (out []*Message) {
	lost := map[Sum]int{}
	for _, ep := range v.Epochs {
		held := map[Sum]int{}
		for _, m := range ep.Messages {
			held[m.Sum]++
			lost[m.Sum] = max(lost[m.Sum], held[m.Sum])
		}
	}
	for _, m := range v.here() {
		lost[m.Sum]--
	}
	for _, ep := range slices.Backward(v.Epochs) {
		for _, m := range slices.Backward(ep.Sorted()) {
			if !v.Here(ep, m) && lost[m.Sum] > 0 {
				lost[m.Sum]--
				if !v.GoneAt(ep, m).Before(since) {
					out = append(out, m)
				}
			}
		}
	}
	slices.Reverse(out)
	return out
}
