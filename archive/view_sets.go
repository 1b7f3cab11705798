package archive

import (
	"errors"
	"io/fs"

	"archiverd/internal/uid"
)

// ViewSets is a mailbox's current epoch folded from its journal to sets of UIDs. It
// holds a few octets where a View of a million messages holds hundreds of megabytes.
// The zero value is a mailbox without a journal.
type ViewSets struct {
	Name        Name
	UIDValidity uint32            // 0: there is no journal
	Listed      uid.Set           // archived, and no gone event has named them since
	Gone        uid.Set           // archived, then named by a gone event
	Failed      map[uint32]string // UIDs that could not be archived, with the reason
	Vanished    bool              // the server no longer lists the mailbox
	Newer       bool              // a newer archiverd has written to the journal

	read     Position // how far the journal has been read
	returned uid.Set  // UIDs of Gone that were added again: removeReturned removes them
	added    uid.Set  // UIDs that the current call of Read has added
}

// Read reads on in the journal of b, from where the last Read ended, and returns the
// UIDs of the current epoch that were added there. Without a journal it changes
// nothing. With ErrCorrupt the sets hold what stands before the fault.
func (v *ViewSets) Read(a *Archive, b MailboxDir) (added uid.Set, err error) {
	v.added = uid.Set{}
	v.read, err = a.Visit(b, v.read, setsVisitor{v})
	v.removeReturned()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return v.added, err
}

// removeReturned removes from Gone the messages that were added again. It is put off
// because removing one UID from a set costs as much as removing many.
func (v *ViewSets) removeReturned() {
	v.Gone, v.returned = v.Gone.Subtract(v.returned), uid.Set{}
}

// FailedUIDs is the set of the UIDs in Failed.
func (v *ViewSets) FailedUIDs() uid.Set {
	var s uid.Set
	for u := range v.Failed {
		s.Add(u)
	}
	return s
}

// HighestUID is the highest UID that the journal names in the epoch.
func (v *ViewSets) HighestUID() uint32 {
	return max(v.Listed.Max(), v.Gone.Max(), v.FailedUIDs().Max())
}

// setsVisitor applies events to a ViewSets; it never fails.
type setsVisitor struct{ *ViewSets }

func (v setsVisitor) VisitOpened(e Event) error {
	*v.ViewSets = ViewSets{Name: e.Name, UIDValidity: e.UIDValidity, Failed: map[uint32]string{}, Newer: v.Newer || e.V > FormatVersion}
	return nil
}

func (v setsVisitor) VisitAdded(e Event) error {
	v.Listed.Add(e.UID)
	v.added.Add(e.UID)
	if v.Gone.Contains(e.UID) {
		v.returned.Add(e.UID)
	}
	delete(v.Failed, e.UID)
	return nil
}

func (v setsVisitor) VisitFlags(Event) error { return nil }

func (v setsVisitor) VisitGone(e Event) error {
	v.removeReturned()
	gone := v.Listed.Intersect(e.UIDs)
	v.Listed = v.Listed.Subtract(gone)
	for r := range gone.Ranges() {
		v.Gone.AddRange(r.First, r.Last)
	}
	for u := range v.Failed {
		if e.UIDs.Contains(u) {
			delete(v.Failed, u)
		}
	}
	return nil
}

func (v setsVisitor) VisitFailed(e Event) error {
	if v.Failed == nil {
		v.Failed = map[uint32]string{}
	}
	if !v.Listed.Contains(e.UID) {
		v.Failed[e.UID] = e.Reason
	}
	return nil
}

func (v setsVisitor) VisitVanished(Event) error {
	v.Vanished = true
	return nil
}

func (v setsVisitor) VisitUnknown(Event) error {
	v.Newer = true
	return nil
}
