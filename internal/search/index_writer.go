package search

import (
	"database/sql"
	"errors"
)

// inserter puts documents into the index, in one transaction.
type inserter struct {
	tx                 *sql.Tx
	free, words, doc   *sql.Stmt
	next               map[int64]int64 // by second: a number from which on to look for a free one
	drop, unword, move *sql.Stmt
}

func newInserter(tx *sql.Tx) (*inserter, error) {
	ins := &inserter{tx: tx, next: map[int64]int64{}}
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&ins.free, "SELECT max(id) FROM doc WHERE id BETWEEN ? AND ?"},
		{&ins.words, "INSERT INTO words (rowid, c0, c1, c2, c3, c4, c5, c6, c7) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&ins.doc, "INSERT INTO doc (id, sum, size, low, attachment, read) VALUES (?, ?, ?, ?, ?, ?)"},
		{&ins.drop, "DELETE FROM doc WHERE id = ?"},
		{&ins.unword, "DELETE FROM words WHERE rowid = ?"},
		{&ins.move, "UPDATE place SET doc = ? WHERE doc = ?"},
	} {
		var err error
		if *s.to, err = tx.Prepare(s.text); err != nil {
			return nil, err
		}
	}
	return ins, nil
}

// insert puts a document in, in the place of the one that has its number now.
func (ins *inserter) insert(w *wanted) error {
	old := w.id
	date := w.date
	if old != 0 {
		date = max(date, old>>secondBits)
		if _, err := ins.drop.Exec(old); err != nil {
			return err
		}
		if _, err := ins.unword.Exec(old); err != nil {
			return err
		}
	}
	id, err := ins.number(date)
	if err != nil {
		return err
	}
	w.id = id
	d := w.doc
	if d == nil {
		d = &document{}
	}
	if _, err := ins.doc.Exec(id, w.sum[:], w.size, w.low, d.attachment, w.err == nil); err != nil {
		return err
	}
	if w.err == nil {
		args := []any{id}
		for _, c := range d.words {
			args = append(args, c)
		}
		if _, err := ins.words.Exec(args...); err != nil {
			return err
		}
	}
	if old != 0 {
		_, err = ins.move.Exec(id, old)
	}
	return err
}

// number is a free number of a date, or the next behind it; never 0.
func (ins *inserter) number(date int64) (int64, error) {
	second, ok := ins.next[date]
	if !ok {
		second = date
	}
	for ; ; second++ {
		first, last := second<<secondBits, second<<secondBits|(1<<secondBits-1)
		var top sql.NullInt64
		if err := ins.free.QueryRow(first, last).Scan(&top); err != nil {
			return 0, err
		}
		if top.Valid && top.Int64 == last {
			continue
		}
		ins.next[date] = second
		id := first
		if top.Valid {
			id = top.Int64 + 1
		}
		if id == 0 {
			id = 1
		}
		return id, nil
	}
}

// forget drops what is known of a mailbox. Its documents stay: other mailboxes may
// have them, and it may come back.
func forget(tx *sql.Tx, f *facts) error {
	for _, text := range []string{
		"DELETE FROM change WHERE place IN (SELECT id FROM place WHERE box = ?)",
		"DELETE FROM place WHERE box = ?",
		"DELETE FROM epoch WHERE box = ?",
		"DELETE FROM box WHERE id = ?",
	} {
		if _, err := tx.Exec(text, f.id); err != nil {
			return err
		}
	}
	return nil
}

// store puts what the tail says into the index: rows, epochs and the position.
func (t *tail) store() error {
	w := &writer{tx: t.tx, flags: map[string]int64{}}
	stored := map[*row]bool{}
	for _, r := range t.fresh {
		if err := w.insert(r); err != nil {
			return err
		}
		stored[r] = true
	}
	for _, r := range t.touched {
		if !stored[r] {
			if err := w.update(r); err != nil {
				return err
			}
			stored[r] = true
		}
	}
	f := t.facts
	f.places += len(t.fresh)
	for n, ep := range f.epochs {
		_, err := t.tx.Exec("INSERT OR REPLACE INTO epoch (box, n, opened, ended, mailbox, delimiter, raw) VALUES (?, ?, ?, ?, ?, ?, ?)",
			f.id, n, ep.opened, null(ep.ended), []byte(ep.name.Mailbox), ep.name.Delimiter, ep.name.Raw)
		if err != nil {
			return err
		}
	}
	_, err := t.tx.Exec("UPDATE box SET journal = ?, size = ?, seal = ?, latest = ?, places = ? WHERE id = ?",
		f.journal, f.pos.Offset, f.pos.Seal, f.latest, f.places, f.id)
	return err
}

// writer writes rows.
type writer struct {
	tx    *sql.Tx
	flags map[string]int64
	stmts map[string]*sql.Stmt
}

// exec runs a statement, which it prepares once.
func (w *writer) exec(text string, args ...any) (sql.Result, error) {
	if w.stmts == nil {
		w.stmts = map[string]*sql.Stmt{}
	}
	s := w.stmts[text]
	if s == nil {
		var err error
		if s, err = w.tx.Prepare(text); err != nil {
			return nil, err
		}
		w.stmts[text] = s
	}
	return s.Exec(args...)
}

func (w *writer) insert(r *row) error {
	flags, err := w.flagsID(r.flags)
	if err != nil {
		return err
	}
	var date any
	_, zone := r.place.InternalDate.Zone()
	if !r.place.InternalDate.IsZero() {
		date = r.place.InternalDate.Unix()
	}
	res, err := w.exec(`INSERT INTO place (doc, box, epoch, uid, path, date, zone, flags, added, gone, until)
		VALUES ((SELECT id FROM doc WHERE sum = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.sum[:], r.facts.id, r.epoch, r.place.UID, r.place.Path, date, zone, flags, r.added, null(r.gone), null(r.until))
	if err != nil {
		return err
	}
	if r.id, err = res.LastInsertId(); err != nil {
		return err
	}
	return w.changes(r)
}

func (w *writer) update(r *row) error {
	flags, err := w.flagsID(r.flags)
	if err != nil {
		return err
	}
	_, err = w.exec("UPDATE place SET flags = ?, gone = ?, until = ? WHERE id = ?", flags, null(r.gone), null(r.until), r.id)
	return errors.Join(err, w.changes(r))
}

func (w *writer) changes(r *row) error {
	for _, c := range r.history {
		flags, err := w.flagsID(c.before)
		if err != nil {
			return err
		}
		if _, err := w.exec("INSERT INTO change (place, at, flags) VALUES (?, ?, ?)", r.id, c.at, flags); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) flagsID(text string) (int64, error) {
	if id, ok := w.flags[text]; ok {
		return id, nil
	}
	if _, err := w.exec("INSERT OR IGNORE INTO flags (text) VALUES (?)", text); err != nil {
		return 0, err
	}
	var id int64
	err := w.tx.QueryRow("SELECT id FROM flags WHERE text = ?", text).Scan(&id)
	w.flags[text] = id
	return id, err
}

// null is a time in seconds, or NULL for 0.
func null(seconds int64) any {
	if seconds == 0 {
		return nil
	}
	return seconds
}
