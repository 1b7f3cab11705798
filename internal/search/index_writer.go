package search

import (
	"database/sql"
	"errors"
)

// documentWriter puts documents into the index, in one transaction.
type documentWriter struct {
	tx                                      *sql.Tx
	maxID, insertWords, insertDocument      *sql.Stmt
	nextSecond                              map[int64]int64 // by second: a number from which on to look for a free one
	deleteDocument, deleteWords, movePlaces *sql.Stmt
}

func newDocumentWriter(tx *sql.Tx) (*documentWriter, error) {
	ins := &documentWriter{tx: tx, nextSecond: map[int64]int64{}}
	for _, s := range []struct {
		to   **sql.Stmt
		text string
	}{
		{&ins.maxID, "SELECT max(id) FROM doc WHERE id BETWEEN ? AND ?"},
		{&ins.insertWords, "INSERT INTO words (rowid, c0, c1, c2, c3, c4, c5, c6, c7) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&ins.insertDocument, "INSERT INTO doc (id, sum, size, low, attachment, read) VALUES (?, ?, ?, ?, ?, ?)"},
		{&ins.deleteDocument, "DELETE FROM doc WHERE id = ?"},
		{&ins.deleteWords, "DELETE FROM words WHERE rowid = ?"},
		{&ins.movePlaces, "UPDATE place SET doc = ? WHERE doc = ?"},
	} {
		var err error
		if *s.to, err = tx.Prepare(s.text); err != nil {
			return nil, err
		}
	}
	return ins, nil
}

// write puts a document in, in the place of the one that has its number now.
func (ins *documentWriter) write(w *newDocument) error {
	old := w.id
	date := w.newestSecond
	if old != 0 {
		date = max(date, old>>secondBits)
		if _, err := ins.deleteDocument.Exec(old); err != nil {
			return err
		}
		if _, err := ins.deleteWords.Exec(old); err != nil {
			return err
		}
	}
	id, err := ins.freeID(date)
	if err != nil {
		return err
	}
	w.id = id
	d := w.document
	if d == nil {
		d = &document{}
	}
	if _, err := ins.insertDocument.Exec(id, w.sum[:], w.size, w.oldestSecond, d.attachment, w.err == nil); err != nil {
		return err
	}
	if w.err == nil {
		args := []any{id}
		for _, c := range d.words {
			args = append(args, c)
		}
		if _, err := ins.insertWords.Exec(args...); err != nil {
			return err
		}
	}
	if old != 0 {
		_, err = ins.movePlaces.Exec(id, old)
	}
	return err
}

// freeID is a free number of a date, or the next behind it; never 0.
func (ins *documentWriter) freeID(date int64) (int64, error) {
	second, ok := ins.nextSecond[date]
	if !ok {
		second = date
	}
	for ; ; second++ {
		first, last := second<<secondBits, second<<secondBits|(1<<secondBits-1)
		var top sql.NullInt64
		if err := ins.maxID.QueryRow(first, last).Scan(&top); err != nil {
			return 0, err
		}
		if top.Valid && top.Int64 == last {
			continue
		}
		ins.nextSecond[date] = second
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

// deleteMailbox drops what is known of a mailbox. Its documents stay: other mailboxes may
// have them, and it may come back.
func deleteMailbox(tx *sql.Tx, f *mailboxIndex) error {
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
func (t *journalTail) store() error {
	w := &placeWriter{tx: t.tx, flagSetIDs: map[string]int64{}}
	stored := map[*placeRow]bool{}
	for _, r := range t.newRows {
		if err := w.insert(r); err != nil {
			return err
		}
		stored[r] = true
	}
	for _, r := range t.changedRows {
		if !stored[r] {
			if err := w.update(r); err != nil {
				return err
			}
			stored[r] = true
		}
	}
	f := t.mailbox
	f.placeCount += len(t.newRows)
	for n, ep := range f.epochs {
		_, err := t.tx.Exec("INSERT OR REPLACE INTO epoch (box, n, opened, ended, mailbox, delimiter, raw) VALUES (?, ?, ?, ?, ?, ?, ?)",
			f.id, n, ep.openedAt, nullIfZero(ep.endedAt), []byte(ep.name.Mailbox), ep.name.Delimiter, ep.name.Raw)
		if err != nil {
			return err
		}
	}
	_, err := t.tx.Exec("UPDATE box SET journal = ?, size = ?, seal = ?, latest = ?, places = ? WHERE id = ?",
		f.journal, f.position.Offset, f.position.Seal, f.lastEvent, f.placeCount, f.id)
	return err
}

// placeWriter writes rows.
type placeWriter struct {
	tx         *sql.Tx
	flagSetIDs map[string]int64
	statements map[string]*sql.Stmt
}

// exec runs a statement, which it prepares once.
func (w *placeWriter) exec(text string, args ...any) (sql.Result, error) {
	if w.statements == nil {
		w.statements = map[string]*sql.Stmt{}
	}
	s := w.statements[text]
	if s == nil {
		var err error
		if s, err = w.tx.Prepare(text); err != nil {
			return nil, err
		}
		w.statements[text] = s
	}
	return s.Exec(args...)
}

func (w *placeWriter) insert(r *placeRow) error {
	flags, err := w.flagSetID(r.flags)
	if err != nil {
		return err
	}
	var date any
	_, zone := r.message.InternalDate.Zone()
	if !r.message.InternalDate.IsZero() {
		date = r.message.InternalDate.Unix()
	}
	res, err := w.exec(`INSERT INTO place (doc, box, epoch, uid, path, date, zone, flags, added, gone, until)
		VALUES ((SELECT id FROM doc WHERE sum = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.sum[:], r.mailbox.id, r.epochIndex, r.message.UID, r.message.Path, date, zone, flags, r.addedAt, nullIfZero(r.goneAt), nullIfZero(r.replacedAt))
	if err != nil {
		return err
	}
	if r.id, err = res.LastInsertId(); err != nil {
		return err
	}
	return w.insertHistory(r)
}

func (w *placeWriter) update(r *placeRow) error {
	flags, err := w.flagSetID(r.flags)
	if err != nil {
		return err
	}
	_, err = w.exec("UPDATE place SET flags = ?, gone = ?, until = ? WHERE id = ?", flags, nullIfZero(r.goneAt), nullIfZero(r.replacedAt), r.id)
	return errors.Join(err, w.insertHistory(r))
}

func (w *placeWriter) insertHistory(r *placeRow) error {
	for _, c := range r.flagHistory {
		flags, err := w.flagSetID(c.flagsBefore)
		if err != nil {
			return err
		}
		if _, err := w.exec("INSERT INTO change (place, at, flags) VALUES (?, ?, ?)", r.id, c.at, flags); err != nil {
			return err
		}
	}
	return nil
}

func (w *placeWriter) flagSetID(text string) (int64, error) {
	if id, ok := w.flagSetIDs[text]; ok {
		return id, nil
	}
	if _, err := w.exec("INSERT OR IGNORE INTO flags (text) VALUES (?)", text); err != nil {
		return 0, err
	}
	var id int64
	err := w.tx.QueryRow("SELECT id FROM flags WHERE text = ?", text).Scan(&id)
	w.flagSetIDs[text] = id
	return id, err
}

// nullIfZero is a time in seconds, or NULL for 0.
func nullIfZero(seconds int64) any {
	if seconds == 0 {
		return nil
	}
	return seconds
}
