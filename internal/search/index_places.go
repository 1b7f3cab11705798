package search

import (
	"database/sql"
	"errors"
)

// store writes the tail to the index: rows, epochs and the mailbox's position.
func (t *journalTail) store() error {
	w := &placeWriter{tx: t.tx, flagSetIDs: map[string]int64{}, statements: map[string]*sql.Stmt{}}
	for _, r := range t.newRows {
		if err := w.insert(r); err != nil {
			return err
		}
	}
	updated := map[*placeRow]bool{}
	for _, r := range t.changedRows {
		if !updated[r] {
			if err := w.update(r); err != nil {
				return err
			}
			updated[r] = true
		}
	}
	m := t.mailbox
	m.placeCount += len(t.newRows)
	for n, ep := range m.epochs {
		_, err := t.tx.Exec("INSERT OR REPLACE INTO epoch (box, n, opened, ended, mailbox, delimiter, raw) VALUES (?, ?, ?, ?, ?, ?, ?)",
			m.id, n, ep.openedAt, nullIfZero(ep.endedAt), []byte(ep.name.Mailbox), ep.name.Delimiter, ep.name.Raw)
		if err != nil {
			return err
		}
	}
	_, err := t.tx.Exec("UPDATE box SET journal = ?, size = ?, seal = ?, latest = ?, places = ? WHERE id = ?",
		m.journal, m.position.Offset, m.position.Seal, m.lastEvent, m.placeCount, m.id)
	return err
}

// deleteMailbox deletes a mailbox with its epochs and places. Its documents stay: other
// mailboxes may have them, or the mailbox may return.
func deleteMailbox(tx *sql.Tx, m *mailboxIndex) error {
	for _, statement := range []string{
		"DELETE FROM change WHERE place IN (SELECT id FROM place WHERE box = ?)",
		"DELETE FROM place WHERE box = ?",
		"DELETE FROM epoch WHERE box = ?",
		"DELETE FROM box WHERE id = ?",
	} {
		if _, err := tx.Exec(statement, m.id); err != nil {
			return err
		}
	}
	return nil
}

// placeWriter writes rows of places in one transaction.
type placeWriter struct {
	tx         *sql.Tx
	flagSetIDs map[string]int64     // numbers in table flags
	statements map[string]*sql.Stmt // prepared
}

// exec executes a statement, which it prepares at its first use.
func (w *placeWriter) exec(text string, args ...any) (sql.Result, error) {
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

// insert inserts a row, with its history, and sets its number. Its document must be in
// the index.
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

// update writes the values of a row that change, and its new history.
func (w *placeWriter) update(r *placeRow) error {
	flags, err := w.flagSetID(r.flags)
	if err != nil {
		return err
	}
	_, err = w.exec("UPDATE place SET flags = ?, gone = ?, until = ? WHERE id = ?", flags, nullIfZero(r.goneAt), nullIfZero(r.replacedAt), r.id)
	return errors.Join(err, w.insertHistory(r))
}

// insertHistory inserts the changes of a row's flags.
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

// flagSetID returns the number of a set of flags in table flags, where it is inserted if
// it is new.
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

// nullIfZero returns a time in seconds, or NULL for 0.
func nullIfZero(seconds int64) any {
	if seconds == 0 {
		return nil
	}
	return seconds
}
