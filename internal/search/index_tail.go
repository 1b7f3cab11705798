package search

import (
	"database/sql"
	"errors"
	"maps"
	"strings"

	"archiverd/archive"
)

// tail is what a journal says behind the position up to which the index knows a
// mailbox. A search puts it over what it finds there, an update stores it.
type tail struct {
	facts *facts
	tx    *sql.Tx
	new   bool // the index has no row of the mailbox

	rows    map[key]*row // those that go on, as far as they were looked at
	fresh   []*row       // not in the index
	touched []*row       // of the index, with other values or more history
}

func newTail(tx *sql.Tx, f *facts) *tail {
	return &tail{facts: f, tx: tx, new: f.pos.Offset == 0, rows: map[key]*row{}}
}

// replay folds the journal in up to its end.
func (t *tail) replay(a *archive.Archive) error {
	pos, err := a.Replay(t.facts.box, t.facts.pos, t.apply)
	if err == nil {
		t.facts.pos = pos
	}
	return err
}

// apply folds an event in, as [archive.View.Apply] does.
func (t *tail) apply(e archive.Event) error {
	f := t.facts
	f.latest = max(f.latest, e.At.Unix(), 1) // 0 means never
	at := f.latest
	current := len(f.epochs) - 1
	if current < 0 && e.Kind != archive.Opened {
		return nil
	}
	switch e.Kind {
	case archive.Opened:
		if f.journal == "" {
			f.journal = e.Journal
		}
		if current >= 0 && f.epochs[current].ended == 0 {
			f.epochs[current].ended = at
		}
		f.epochs = append(f.epochs, epoch{name: e.Name, opened: at})
	case archive.Added:
		old, err := t.get(key{current, e.UID})
		if err != nil {
			return err
		}
		if old != nil {
			old.until = at
			t.touch(old)
		}
		r := &row{facts: f, epoch: current, sum: e.Sum, size: e.Size, added: at, flags: strings.Join(e.Flags, " "),
			place: archive.Message{UID: e.UID, Path: e.Path, InternalDate: e.InternalDate}}
		t.rows[key{current, e.UID}] = r
		t.fresh = append(t.fresh, r)
	case archive.Flags:
		r, err := t.get(key{current, e.UID})
		if err != nil || r == nil {
			return err
		}
		r.history = append(r.history, change{at, r.flags})
		r.flags = strings.Join(e.Flags, " ")
		t.touch(r)
	case archive.Gone:
		return t.gone(e, current, at)
	case archive.Vanished:
		if ep := &f.epochs[current]; ep.ended == 0 {
			ep.ended = at
		}
	}
	return nil
}

func (t *tail) gone(e archive.Event, current int, at int64) error {
	for r := range e.UIDs.Ranges() {
		uids, err := t.uids(current, r.First, r.Last)
		if err != nil {
			return err
		}
		for _, u := range uids {
			r, err := t.get(key{current, u})
			if err != nil {
				return err
			}
			if r.gone == 0 {
				r.gone = at
				t.touch(r)
			}
		}
	}
	return nil
}

// uids are the UIDs of rows in a range, which may be as wide as 32 bits.
func (t *tail) uids(epoch int, first, last uint32) ([]uint32, error) {
	set := map[uint32]bool{}
	if int(last-first) < len(t.rows) {
		for i := range last - first + 1 {
			if _, ok := t.rows[key{epoch, first + i}]; ok {
				set[first+i] = true
			}
		}
	} else {
		for k := range t.rows {
			if k.epoch == epoch && k.uid >= first && k.uid <= last {
				set[k.uid] = true
			}
		}
	}
	if !t.new {
		rows, err := t.tx.Query("SELECT uid FROM place WHERE box = ? AND epoch = ? AND uid BETWEEN ? AND ? AND until IS NULL", t.facts.id, epoch, first, last)
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

// get is the row that goes on under a key, nil if there is none.
func (t *tail) get(k key) (*row, error) {
	if r, ok := t.rows[k]; ok || t.new {
		return r, nil
	}
	rows, err := t.tx.Query("SELECT "+rowColumns+" FROM place WHERE box = ? AND epoch = ? AND uid = ? AND until IS NULL", t.facts.id, k.epoch, k.uid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var r *row
	if rows.Next() {
		if r, _, err = scanRow(rows); err != nil {
			return nil, err
		}
		r.facts = t.facts
		t.rows[k] = r
	}
	return r, errors.Join(rows.Err(), rows.Close())
}

// touch notes that a row is not as the index has it.
func (t *tail) touch(r *row) {
	if r.id != 0 {
		t.touched = append(t.touched, r)
	}
}
