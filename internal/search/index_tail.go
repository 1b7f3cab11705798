package search

import (
	"database/sql"
	"errors"
	"maps"
	"strings"

	"archiverd/archive"
)

// journalTail is what a journal says behind the position up to which the index knows a
// mailbox. A search puts it over what it finds there, an update stores it.
type journalTail struct {
	mailbox    *mailboxIndex
	tx         *sql.Tx
	notIndexed bool // the index has no row of the mailbox

	currentRows map[uidKey]*placeRow // those that go on, as far as they were looked at
	newRows     []*placeRow          // not in the index
	changedRows []*placeRow          // of the index, with other values or more history
}

func newJournalTail(tx *sql.Tx, f *mailboxIndex) *journalTail {
	return &journalTail{mailbox: f, tx: tx, notIndexed: f.position.Offset == 0, currentRows: map[uidKey]*placeRow{}}
}

// replay folds the journal in up to its end.
func (t *journalTail) replay(a *archive.Archive) error {
	pos, err := a.Replay(t.mailbox.dir, t.mailbox.position, t.apply)
	if err == nil {
		t.mailbox.position = pos
	}
	return err
}

// apply folds an event in, as [archive.View.Apply] does.
func (t *journalTail) apply(e archive.Event) error {
	f := t.mailbox
	f.lastEvent = max(f.lastEvent, e.At.Unix(), 1) // 0 means never
	at := f.lastEvent
	current := len(f.epochs) - 1
	if current < 0 && e.Kind != archive.Opened {
		return nil
	}
	switch e.Kind {
	case archive.Opened:
		if f.journal == "" {
			f.journal = e.Journal
		}
		if current >= 0 && f.epochs[current].endedAt == 0 {
			f.epochs[current].endedAt = at
		}
		f.epochs = append(f.epochs, epoch{name: e.Name, openedAt: at})
	case archive.Added:
		old, err := t.currentRow(uidKey{current, e.UID})
		if err != nil {
			return err
		}
		if old != nil {
			old.replacedAt = at
			t.markChanged(old)
		}
		r := &placeRow{mailbox: f, epochIndex: current, sum: e.Sum, size: e.Size, addedAt: at, flags: strings.Join(e.Flags, " "),
			message: archive.Message{UID: e.UID, Path: e.Path, InternalDate: e.InternalDate}}
		t.currentRows[uidKey{current, e.UID}] = r
		t.newRows = append(t.newRows, r)
	case archive.Flags:
		r, err := t.currentRow(uidKey{current, e.UID})
		if err != nil || r == nil {
			return err
		}
		r.flagHistory = append(r.flagHistory, flagChange{at, r.flags})
		r.flags = strings.Join(e.Flags, " ")
		t.markChanged(r)
	case archive.Gone:
		return t.applyGone(e, current, at)
	case archive.Vanished:
		if ep := &f.epochs[current]; ep.endedAt == 0 {
			ep.endedAt = at
		}
	}
	return nil
}

func (t *journalTail) applyGone(e archive.Event, current int, at int64) error {
	for r := range e.UIDs.Ranges() {
		uids, err := t.uidsInRange(current, r.First, r.Last)
		if err != nil {
			return err
		}
		for _, u := range uids {
			r, err := t.currentRow(uidKey{current, u})
			if err != nil {
				return err
			}
			if r.goneAt == 0 {
				r.goneAt = at
				t.markChanged(r)
			}
		}
	}
	return nil
}

// uidsInRange are the UIDs of rows in a range, which may be as wide as 32 bits.
func (t *journalTail) uidsInRange(epoch int, first, last uint32) ([]uint32, error) {
	set := map[uint32]bool{}
	if int(last-first) < len(t.currentRows) {
		for i := range last - first + 1 {
			if _, ok := t.currentRows[uidKey{epoch, first + i}]; ok {
				set[first+i] = true
			}
		}
	} else {
		for k := range t.currentRows {
			if k.epochIndex == epoch && k.uid >= first && k.uid <= last {
				set[k.uid] = true
			}
		}
	}
	if !t.notIndexed {
		rows, err := t.tx.Query("SELECT uid FROM place WHERE box = ? AND epoch = ? AND uid BETWEEN ? AND ? AND until IS NULL", t.mailbox.id, epoch, first, last)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var u uint32
			if err := rows.Scan(&u); err != nil {
				return nil, err
			}
			set[u] = true
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	var out []uint32
	for u := range maps.Keys(set) {
		out = append(out, u)
	}
	return out, nil
}

// currentRow is the row that goes on under a key, nil if there is none.
func (t *journalTail) currentRow(k uidKey) (*placeRow, error) {
	if r, ok := t.currentRows[k]; ok || t.notIndexed {
		return r, nil
	}
	rows, err := t.tx.Query("SELECT "+placeColumns+" FROM place WHERE box = ? AND epoch = ? AND uid = ? AND until IS NULL", t.mailbox.id, k.epochIndex, k.uid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var r *placeRow
	if rows.Next() {
		if r, _, err = scanPlaceRow(rows); err != nil {
			return nil, err
		}
		r.mailbox = t.mailbox
		t.currentRows[k] = r
	}
	return r, errors.Join(rows.Err(), rows.Close())
}

// markChanged notes that a row is not as the index has it.
func (t *journalTail) markChanged(r *placeRow) {
	if r.id != 0 {
		t.changedRows = append(t.changedRows, r)
	}
}
