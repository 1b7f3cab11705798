package search

import (
	"database/sql"
	"errors"
	"maps"
	"slices"
	"strings"

	"archiverd/archive"
)

// journalTail replays the part of a journal after the position that the index has. A
// search lays its rows over those of the index; an update stores them.
type journalTail struct {
	mailbox    *mailboxIndex // apply changes it, but for the position
	tx         *sql.Tx
	notIndexed bool // the index has no rows of the mailbox: it is not queried

	currentRows map[uidKey]*placeRow // rows that are not replaced; those of the index only once they were loaded
	newRows     []*placeRow          // rows that the index lacks
	changedRows []*placeRow          // rows of the index whose values changed; a row may occur more than once
}

func newJournalTail(tx *sql.Tx, m *mailboxIndex) *journalTail {
	return &journalTail{mailbox: m, tx: tx, notIndexed: m.position.Offset == 0, currentRows: map[uidKey]*placeRow{}}
}

// replay applies the events of the journal up to its end and moves the position there.
func (t *journalTail) replay(a *archive.Archive) error {
	position, err := a.Replay(t.mailbox.dir, t.mailbox.position, t.apply)
	if err == nil {
		t.mailbox.position = position
	}
	return err
}

// apply applies an event, with the same rules as [archive.View.Apply].
func (t *journalTail) apply(e archive.Event) error {
	m := t.mailbox
	m.lastEvent = max(m.lastEvent, e.At.Unix(), 1) // 0 means never
	if len(m.epochs) == 0 && e.Kind != archive.Opened {
		return nil
	}
	return archive.Visit(e, t)
}

// currentEpoch is the index of the current epoch, -1 before the first.
func (t *journalTail) currentEpoch() int { return len(t.mailbox.epochs) - 1 }

// VisitOpened implements archive.Visitor.
func (t *journalTail) VisitOpened(e archive.Event) error {
	m := t.mailbox
	if m.journal == "" {
		m.journal = e.Journal
	}
	t.endEpoch()
	m.epochs = append(m.epochs, epoch{name: e.Name, openedAt: m.lastEvent})
	return nil
}

// VisitVanished implements archive.Visitor.
func (t *journalTail) VisitVanished(archive.Event) error {
	t.endEpoch()
	return nil
}

// endEpoch sets when the current epoch ended, unless it has ended or there is none.
func (t *journalTail) endEpoch() {
	if i := t.currentEpoch(); i >= 0 && t.mailbox.epochs[i].endedAt == 0 {
		t.mailbox.epochs[i].endedAt = t.mailbox.lastEvent
	}
}

// VisitFlags implements archive.Visitor.
func (t *journalTail) VisitFlags(e archive.Event) error {
	r, err := t.currentRow(uidKey{t.currentEpoch(), e.UID})
	if err != nil || r == nil {
		return err
	}
	r.flagHistory = append(r.flagHistory, flagChange{t.mailbox.lastEvent, r.flags})
	r.flags = strings.Join(e.Flags, " ")
	t.markChanged(r)
	return nil
}

// VisitFailed implements archive.Visitor: a message that is not archived has no row.
func (t *journalTail) VisitFailed(archive.Event) error { return nil }

// VisitUnknown implements archive.Visitor.
func (t *journalTail) VisitUnknown(archive.Event) error { return nil }

// VisitAdded implements archive.Visitor: it adds a row, which replaces the one that
// the UID has so far.
func (t *journalTail) VisitAdded(e archive.Event) error {
	k, at := uidKey{t.currentEpoch(), e.UID}, t.mailbox.lastEvent
	old, err := t.currentRow(k)
	if err != nil {
		return err
	}
	if old != nil {
		old.replacedAt = at
		t.markChanged(old)
	}
	r := &placeRow{mailbox: t.mailbox, epochIndex: k.epochIndex, sum: e.Sum, size: e.Size, addedAt: at, flags: strings.Join(e.Flags, " "),
		message: archive.Message{UID: e.UID, Path: e.Path, InternalDate: e.InternalDate}}
	t.currentRows[k] = r
	t.newRows = append(t.newRows, r)
	return nil
}

// VisitGone implements archive.Visitor: it marks the rows of the event's UIDs as gone.
// The first time counts.
func (t *journalTail) VisitGone(e archive.Event) error {
	current, at := t.currentEpoch(), t.mailbox.lastEvent
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

// uidsInRange returns the UIDs in first:last that have a current row, in any order. The
// cost does not depend on the width of the range, which may be all 32 bits.
func (t *journalTail) uidsInRange(epochIndex int, first, last uint32) ([]uint32, error) {
	set := map[uint32]bool{}
	if int(last-first) < len(t.currentRows) {
		for i := range last - first + 1 {
			if _, ok := t.currentRows[uidKey{epochIndex, first + i}]; ok {
				set[first+i] = true
			}
		}
	} else {
		for k := range t.currentRows {
			if k.epochIndex == epochIndex && k.uid >= first && k.uid <= last {
				set[k.uid] = true
			}
		}
	}
	if !t.notIndexed {
		if err := t.addIndexedUIDs(set, epochIndex, first, last); err != nil {
			return nil, err
		}
	}
	return slices.Collect(maps.Keys(set)), nil
}

// addIndexedUIDs adds the UIDs in first:last that have a current row in the index.
func (t *journalTail) addIndexedUIDs(set map[uint32]bool, epochIndex int, first, last uint32) error {
	rows, err := t.tx.Query("SELECT uid FROM place WHERE box = ? AND epoch = ? AND uid BETWEEN ? AND ? AND until IS NULL", t.mailbox.id, epochIndex, first, last)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var u uint32
		if err := rows.Scan(&u); err != nil {
			return err
		}
		set[u] = true
	}
	return rows.Err()
}

// currentRow returns the row of a UID that is not replaced, nil if there is none.
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

// markChanged records that a row of the index has other values now.
func (t *journalTail) markChanged(r *placeRow) {
	if r.id != 0 {
		t.changedRows = append(t.changedRows, r)
	}
}
