package archive

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// keptPart is the part of a journal that can be trusted.
type keptPart struct {
	id     string
	end    Position
	view   View
	named  map[string]bool // paths
	lastAt time.Time
	added  map[uint32]Event // the last line of each message of the epoch, by UID
	failed map[uint32]Event // the same of each failure
}

func newKeptPart() *keptPart {
	return &keptPart{named: map[string]bool{}, added: map[uint32]Event{}, failed: map[uint32]Event{}}
}

// keptJournal reads what can be trusted of the journal of b, and says in out what is
// lost. dropsSome is set if the file has more than that. Of a journal that is another
// mailbox's, or was begun anew, nothing is kept where the mailbox has a checkpoint. The
// caller holds the mutex of the checkpoints.
func (w *Writer) keptJournal(b MailboxDir, out *Adopted) (k *keptPart, dropsSome bool, err error) {
	file := w.checkpoints.file
	known := file.of(b.Dir)
	if out.Lost, err = w.lossOf(b, known); err != nil {
		return nil, false, err
	}
	k = newKeptPart()
	k.end, err = w.Replay(b, Position{}, k.apply)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt) {
		return nil, false, err
	}
	var corrupt *CorruptError
	if errors.As(err, &corrupt) && out.Lost == "" {
		out.Lost = corrupt.lossText()
	}
	size := int64(0)
	if st, err := w.root.Stat(b.Journal()); err == nil {
		size = st.Size()
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, false, err
	}
	k.id = k.view.Journal
	if k.view.Unknown || k.view.V > FormatVersion {
		return nil, false, ErrNewer
	}
	switch other := file.dirs[k.id]; {
	case known.Offset > 0 && k.id != "" && k.id != known.Journal:
		k = newKeptPart() // another mailbox's journal, or one that was begun anew
	case known.Offset == 0 && k.id != "" && other != "" && other != b.Dir:
		if id, err := w.journalID(MailboxDir{Dir: other}); err == nil && id == k.id {
			return nil, false, fmt.Errorf("it is a copy of %s, which is still there: move it out of the archive", other)
		}
		out.Moved = other
	}
	return k, size > k.end.Offset, nil
}

// lossOf says what is wrong with the journal of b; "": nothing.
func (w *Writer) lossOf(b MailboxDir, known Checkpoint) (string, error) {
	now, _, err := w.compareJournal(b, known)
	if err == nil {
		err = w.checkpoints.file.checkPlace(b.Dir, known, now.Journal)
	}
	var lost *LossError
	var corrupt *CorruptError
	switch {
	case errors.As(err, &lost):
		return lost.Text, nil
	case errors.As(err, &corrupt):
		return corrupt.lossText(), nil
	}
	return "", err
}

// lossText is what the checkpoints say of a corrupt journal.
func (e *CorruptError) lossText() string {
	return fmt.Sprintf("line %d of its journal: %s", e.Line, e.Text)
}

// apply adds an event of the journal.
func (k *keptPart) apply(e Event) error {
	k.view.Apply(e)
	k.lastAt = laterTime(k.lastAt, e.At)
	if e.HasFile() {
		k.named[e.Path] = true
	}
	switch e.Kind {
	case Opened:
		k.added, k.failed = map[uint32]Event{}, map[uint32]Event{}
	case Added:
		k.added[e.UID] = e
	case Failed:
		k.failed[e.UID] = e
	}
	return nil
}

// eventsFor returns the events behind the kept part: what was found, by UIDVALIDITY, each
// behind an opened of its own; behind all of it what held before, so that no find replaces
// what was known. A journal without any event gets an opened.
func (k *keptPart) eventsFor(found []foundFile, name func() Name) []Event {
	current := k.view.Epoch()
	opened := Event{Kind: Opened, V: FormatVersion, Attrs: k.view.Attrs, Name: k.view.Name}
	if k.id == "" {
		k.id = newID()
	}
	opened.Journal = k.id
	if current == nil {
		opened.Name = name()
	} else {
		opened.Imported = current.Imported
	}
	isCurrent := func(v uint32) bool { return current != nil && v == current.UIDValidity }
	slices.SortStableFunc(found, func(a, b foundFile) int {
		if x, y := isCurrent(a.uidValidity), isCurrent(b.uidValidity); x != y {
			if x {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.uidValidity, b.uidValidity)
	})
	var events []Event
	epoch := uint32(0)
	if current != nil {
		epoch = current.UIDValidity
	}
	for _, f := range found {
		if f.uidValidity != epoch || current == nil && len(events) == 0 {
			epoch = f.uidValidity
			events = append(events, k.openedAs(opened, epoch))
		}
		events = append(events, f.event)
	}
	switch {
	case current != nil && len(events) > 0:
		events = append(events, k.restated(opened, epoch)...)
	case current == nil && len(events) == 0:
		opened.UIDValidity = 1
		events = append(events, opened)
	}
	return events
}

// openedAs returns opened for an epoch of that UIDVALIDITY: of the current one, if it is
// that again, with its server.
func (k *keptPart) openedAs(opened Event, uidValidity uint32) Event {
	opened.UIDValidity = uidValidity
	if current := k.view.Epoch(); current != nil && current.UIDValidity == uidValidity {
		opened.Server, opened.User = current.Server, current.User
	}
	return opened
}

// restated returns the events that make the current epoch what it was. opened is an
// opened of the journal; epoch is the UIDVALIDITY of the last one.
func (k *keptPart) restated(opened Event, epoch uint32) (events []Event) {
	current := k.view.Epoch()
	if epoch != current.UIDValidity {
		events = append(events, k.openedAs(opened, current.UIDValidity))
	}
	for _, m := range current.Sorted() {
		if !m.Listed() {
			continue
		}
		e := k.added[m.UID]
		e.Flags = m.Flags
		events = append(events, e)
	}
	for _, u := range slices.Sorted(maps.Keys(current.Failed)) {
		events = append(events, k.failed[u])
	}
	if !k.view.Vanished.IsZero() {
		events = append(events, Event{Kind: Vanished})
	}
	return events
}
