package archive

import (
	"errors"
	"io"
	"iter"
	"slices"
	"time"

	"archiverd/internal/uid"
)

// View is a mailbox folded from its journal, up to its end or an earlier event.
type View struct {
	Name     Name
	Attrs    []string
	Journal  string    // the journal's id
	V        int       // the highest format version opened in it
	Unknown  bool      // events of unknown kinds were ignored
	Vanished time.Time // when the server stopped listing the mailbox; zero: it lists it
	Epochs   []*Epoch
}

// Epoch is the time of one UIDVALIDITY: within it a UID means one message.
type Epoch struct {
	UIDValidity uint32
	Imported    bool   // its messages were imported from files, and are on no server
	Server      string // host:port of the server; empty: not known
	User        string // who logged in there; empty: not known
	Opened      time.Time
	Ended       time.Time // when the mailbox vanished, or the next epoch was opened; zero: it is the current one
	Messages    map[uint32]*Message
	Failed      map[uint32]string // UIDs that could not be archived, with the reason
}

// Message is one message of a mailbox.
type Message struct {
	UIDValidity  uint32 // of its epoch
	UID          uint32
	Path         string // relative to the mailbox directory
	Size         int64  // octets
	Sum          Sum
	InternalDate time.Time // with the server's zone; zero: none
	Flags        []string
	Matched      string
	EmailID      string `json:"-"`          // that the server gave; empty: none
	Announced    *int64 `json:",omitempty"` // the size that the server announced, if it is not Size; nil: it is
	Added        time.Time
	Gone         time.Time // zero: the server still lists it
}

// Fold reads a mailbox's whole journal, and returns the position of its end too. With
// ErrCorrupt the view holds what stands before the fault.
func (a *Archive) Fold(b MailboxDir) (*View, Position, error) {
	v := &View{}
	pos, err := a.Replay(b, Position{}, func(e Event) error { v.Apply(e); return nil })
	return v, pos, err
}

// maxGoneLookups bounds the work for the gone events of a journal that somebody else may
// have written: a few octets can name all UIDs, over and over.
const maxGoneLookups = 20_000_000

var errTooManyGone = errors.New("its gone events name far more messages than it has")

// FoldFrom is Fold for a journal that r reads, and which may be a forgery.
func FoldFrom(r io.Reader) (*View, error) {
	v := &View{}
	lookups := 0
	_, err := replay(r, Position{}, func(e Event) error {
		if ep := v.Epoch(); ep != nil && e.Kind == Gone {
			n := e.UIDs.Len()
			if lookups += min(n, len(ep.Messages)) + min(n, len(ep.Failed)); lookups > maxGoneLookups {
				return errTooManyGone
			}
		}
		v.Apply(e)
		return nil
	})
	return v, err
}

// FoldAt reads a mailbox's journal up to a time, as ReplayUntil does: the view is of
// the mailbox as it was then, without an epoch if nothing was archived yet. With
// ErrCorrupt the view holds what stands before the fault.
func (a *Archive) FoldAt(b MailboxDir, at time.Time) (*View, error) {
	v := &View{}
	err := a.ReplayUntil(b, at, func(e Event) error { v.Apply(e); return nil })
	return v, err
}

// Apply folds one event into the view.
func (v *View) Apply(e Event) {
	if v.Epoch() == nil && e.Kind != Opened {
		v.Unknown = true // no archiverd writes events before the first epoch
		return
	}
	_ = Visit(e, viewVisitor{v}) // it never fails
}

// viewVisitor applies events to a View that has an epoch, or gets one by the event.
type viewVisitor struct{ *View }

func (v viewVisitor) VisitOpened(e Event) error {
	if v.Journal == "" {
		v.Journal = e.Journal
	}
	v.V = max(v.V, e.V)
	v.Name, v.Attrs, v.Vanished = e.Name, e.Attrs, time.Time{}
	if ep := v.Epoch(); ep != nil && ep.Ended.IsZero() {
		ep.Ended = e.At
	}
	v.Epochs = append(v.Epochs, &Epoch{UIDValidity: e.UIDValidity, Imported: e.Imported, Server: e.Server, User: e.User, Opened: e.At, Messages: map[uint32]*Message{}, Failed: map[uint32]string{}})
	return nil
}

func (v viewVisitor) VisitAdded(e Event) error {
	ep := v.Epoch()
	ep.Messages[e.UID] = &Message{UIDValidity: ep.UIDValidity, UID: e.UID, Path: e.Path, Size: e.Size, Sum: e.Sum, InternalDate: e.InternalDate,
		Flags: e.Flags, Matched: e.Matched, EmailID: e.EmailID, Announced: e.Announced, Added: e.At}
	delete(ep.Failed, e.UID)
	return nil
}

func (v viewVisitor) VisitFlags(e Event) error {
	if m := v.Epoch().Messages[e.UID]; m != nil {
		m.Flags = e.Flags
	}
	return nil
}

func (v viewVisitor) VisitGone(e Event) error {
	ep := v.Epoch()
	for u := range uid.KeysIn(ep.Messages, e.UIDs) {
		if m := ep.Messages[u]; m.Listed() {
			m.Gone = e.At
		}
	}
	for u := range uid.KeysIn(ep.Failed, e.UIDs) {
		delete(ep.Failed, u)
	}
	return nil
}

func (v viewVisitor) VisitFailed(e Event) error {
	ep := v.Epoch()
	if m := ep.Messages[e.UID]; m == nil || !m.Listed() {
		ep.Failed[e.UID] = e.Reason
	}
	return nil
}

func (v viewVisitor) VisitVanished(e Event) error {
	v.Vanished, v.Epoch().Ended = e.At, e.At
	return nil
}

func (v viewVisitor) VisitUnknown(Event) error {
	v.Unknown = true
	return nil
}

// Epoch returns the current epoch, nil if there is none yet.
func (v *View) Epoch() *Epoch {
	if len(v.Epochs) == 0 {
		return nil
	}
	return v.Epochs[len(v.Epochs)-1]
}

// All yields every message that the mailbox ever had, by epoch and UID.
func (v *View) All() iter.Seq2[*Epoch, *Message] {
	return func(yield func(*Epoch, *Message) bool) {
		for _, ep := range v.Epochs {
			for _, m := range ep.Sorted() {
				if !yield(ep, m) {
					return
				}
			}
		}
	}
}

// Listed reports whether the server lists a message of one of the view's epochs, as
// far as the view tells.
func (v *View) Listed(ep *Epoch, m *Message) bool {
	return ep == v.Epoch() && m.Listed() && v.Vanished.IsZero()
}

// Sorted returns the messages of the epoch by UID.
func (ep *Epoch) Sorted() []*Message {
	uids := make([]uint32, 0, len(ep.Messages))
	for u := range ep.Messages {
		uids = append(uids, u)
	}
	slices.Sort(uids)
	out := make([]*Message, len(uids))
	for i, u := range uids {
		out[i] = ep.Messages[u]
	}
	return out
}

// Listed reports whether the server still listed m at the end of its epoch.
func (m *Message) Listed() bool { return m.Gone.IsZero() }
