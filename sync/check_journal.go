package sync

import (
	"errors"
	"io/fs"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// holding is what a journal says that the archive holds of a mailbox, of its
// current epoch, as sets: a mailbox of a million messages takes some octets.
type holding struct {
	mailbox     string
	uidValidity uint32  // 0: there is no journal
	here        uid.Set // archived, and listed by the server as far as the journal knows
	gone        uid.Set // archived, and recorded as gone
	late        uid.Set // of here, those added after the server was asked
	reasons     map[uint32]string
	vanished    bool // the mailbox is recorded as no longer listed
	newer       bool // a newer archiverd has written to it

	read archive.Position // how far the journal has been read
	back uid.Set          // of gone, those added again since the last settle
}

// follow reads on in a mailbox's journal. What is added there is late if it is
// said so. A missing journal holds nothing.
func (h *holding) follow(a *archive.Archive, b archive.MailboxDir, late bool) error {
	read, err := a.Replay(b, h.read, func(e archive.Event) error {
		h.apply(e, late)
		return nil
	})
	h.read = read
	h.settle()
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

func (h *holding) apply(e archive.Event, late bool) {
	switch e.Kind {
	case archive.Opened:
		*h = holding{mailbox: e.Name.Mailbox, uidValidity: e.UIDValidity, reasons: map[uint32]string{}, newer: h.newer || e.V > archive.FormatVersion}
	case archive.Added:
		h.here.Add(e.UID)
		if h.gone.Contains(e.UID) {
			h.back.Add(e.UID)
		}
		if late {
			h.late.Add(e.UID)
		}
		delete(h.reasons, e.UID)
	case archive.Failed:
		if !h.here.Contains(e.UID) {
			h.reasons[e.UID] = e.Reason
		}
	case archive.Gone:
		h.settle()
		gone := h.here.Intersect(e.UIDs)
		h.here = h.here.Subtract(gone)
		for r := range gone.Ranges() {
			h.gone.AddRange(r.First, r.Last)
		}
		for u := range h.reasons {
			if e.UIDs.Contains(u) {
				delete(h.reasons, u)
			}
		}
	case archive.Vanished:
		h.vanished = true
	case archive.Flags:
	default:
		h.newer = true
	}
}

// settle takes what came back out of what is gone.
func (h *holding) settle() {
	h.gone, h.back = h.gone.Subtract(h.back), uid.Set{}
}

// failed are the UIDs that could not be archived.
func (h *holding) failed() uid.Set {
	var s uid.Set
	for u := range h.reasons {
		s.Add(u)
	}
	return s
}

// highest is the highest UID that the journal names.
func (h *holding) highest() uint32 { return max(h.here.Max(), h.gone.Max(), h.failed().Max()) }
