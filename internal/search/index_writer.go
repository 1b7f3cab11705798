package search

import (
	"context"
	"database/sql"
	"errors"
	"path"
	"slices"

	"archiverd/archive"
)

// indexWriter writes to an open index during one update. It belongs to one goroutine.
type indexWriter struct {
	*Indexer
	file   *indexFile
	report *IndexReport
}

// A batch of events is written when it reaches one of these limits. They bound the
// memory that an update takes.
const (
	batchEvents = 20_000
	batchOctets = 32 << 20 // of messages
)

// catchUp brings the index up to date with the journals, one mailbox after the other.
func (w *indexWriter) catchUp(ctx context.Context) error {
	var indexed map[string]*mailboxIndex
	err := w.file.transact(ctx, func(tx *sql.Tx) (err error) {
		indexed, err = loadMailboxes(tx)
		return err
	})
	if err != nil {
		return err
	}
	mailboxes, err := w.Archive.Mailboxes("")
	if err != nil {
		return err
	}
	for _, b := range mailboxes {
		m := indexed[b.Dir]
		delete(indexed, b.Dir)
		if m == nil {
			m = &mailboxIndex{dir: b}
		}
		err := w.updateMailbox(ctx, m)
		if errors.Is(err, archive.ErrCorrupt) {
			w.report.Errors = append(w.report.Errors, err)
		} else if err != nil {
			return err
		}
	}
	for _, m := range indexed { // their directories do not exist
		if err := w.file.transact(ctx, func(tx *sql.Tx) error { return deleteMailbox(tx, m) }); err != nil {
			return err
		}
	}
	if err := w.retryUnread(ctx); err != nil {
		return err
	}
	return w.file.db.QueryRowContext(ctx, "SELECT count(*) FROM doc WHERE read").Scan(&w.report.Documents)
}

// updateMailbox brings one mailbox up to date with its journal. The words of new
// messages are written first and stay if a later step fails; the events of the journal
// are written after them, together with the new position.
func (w *indexWriter) updateMailbox(ctx context.Context, m *mailboxIndex) error {
	valid, size, err := w.Archive.HasPosition(m.dir, m.journal, m.position)
	if err != nil {
		return err
	}
	if !valid || m.position.Offset == 0 { // another journal, or an update was interrupted
		if m.id != 0 {
			if err := w.file.transact(ctx, func(tx *sql.Tx) error { return deleteMailbox(tx, m) }); err != nil {
				return err
			}
		}
		m = &mailboxIndex{dir: m.dir}
	}
	if size == m.position.Offset {
		return nil
	}
	mw := &mailboxWriter{indexWriter: w, mailbox: m, fromStart: m.position.Offset == 0}
	var events []archive.Event
	octets := int64(0)
	position, err := w.Archive.Replay(m.dir, m.position, func(e archive.Event) error {
		events = append(events, e)
		if e.Kind == archive.Added {
			octets += e.Size
		}
		if len(events) < batchEvents && octets < batchOctets {
			return nil
		}
		err := mw.writeEvents(ctx, events, nil)
		events, octets = events[:0], 0
		return err
	})
	if err != nil || position == m.position {
		return err
	}
	return mw.writeEvents(ctx, events, &position)
}

// retryUnread tries again to read the messages that no update could read.
func (w *indexWriter) retryUnread(ctx context.Context) error {
	rows, err := w.file.db.QueryContext(ctx, `SELECT box.dir, place.path, doc.sum, doc.size FROM doc
		JOIN place ON place.doc = doc.id JOIN box ON box.id = place.box WHERE doc.read = 0 GROUP BY doc.id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []*newDocument
	for rows.Next() {
		d := &newDocument{newestSecond: noDate, oldestSecond: noDate}
		var dir, file string
		var sum []byte
		if err := rows.Scan(&dir, &file, &sum, &d.size); err != nil {
			return err
		}
		d.path = path.Join(dir, file)
		copy(d.sum[:], sum)
		list = append(list, d)
	}
	// Close the rows first: the index has one connection.
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(list) == 0 {
		return err
	}
	w.report.Errors = slices.DeleteFunc(w.report.Errors, func(err error) bool { return errors.Is(err, errNotIndexed) })
	return w.writeDocuments(ctx, list)
}

// mailboxWriter writes the events of one mailbox to the index.
type mailboxWriter struct {
	*indexWriter
	mailbox   *mailboxIndex
	fromStart bool // the journal is replayed from its start

	pendingEvents []archive.Event // not written yet; only if not fromStart
}

// writeEvents writes a batch of events. The last batch has the position after it, the
// others have nil. Events of a journal from its start are written at once: until the
// position is written they do not count. Others are kept and written in one transaction
// with the position.
func (w *mailboxWriter) writeEvents(ctx context.Context, events []archive.Event, end *archive.Position) error {
	if err := w.writeMessages(ctx, events); err != nil {
		return err
	}
	if !w.fromStart && end == nil {
		w.pendingEvents = append(w.pendingEvents, events...)
		return nil
	}
	events = append(w.pendingEvents, events...)
	return w.file.transact(ctx, func(tx *sql.Tx) error {
		if err := w.insertMailbox(tx); err != nil {
			return err
		}
		t := newJournalTail(tx, w.mailbox)
		t.notIndexed = w.fromStart && w.mailbox.placeCount == 0
		for _, e := range events {
			if err := t.apply(e); err != nil {
				return err
			}
		}
		if end != nil {
			w.mailbox.position = *end
		}
		return t.store()
	})
}

// insertMailbox inserts the mailbox, with no position, if the index lacks it.
func (w *mailboxWriter) insertMailbox(tx *sql.Tx) error {
	if w.mailbox.id != 0 {
		return nil
	}
	res, err := tx.Exec("INSERT INTO box (dir, account, journal, size, seal, latest, places) VALUES (?, ?, '', 0, '', 0, 0)", w.mailbox.dir.Dir, w.mailbox.dir.Account)
	if err != nil {
		return err
	}
	w.mailbox.id, err = res.LastInsertId()
	return err
}

// writeMessages writes the messages of events that the index lacks.
func (w *mailboxWriter) writeMessages(ctx context.Context, events []archive.Event) error {
	bySum := map[archive.Sum]*newDocument{}
	var list []*newDocument
	for _, e := range events {
		if e.Kind != archive.Added {
			continue
		}
		date := unixSeconds(e.InternalDate)
		d := bySum[e.Sum]
		if d == nil {
			d = &newDocument{sum: e.Sum, size: e.Size, newestSecond: date, oldestSecond: date}
			bySum[e.Sum] = d
			list = append(list, d)
		}
		d.path = path.Join(w.mailbox.dir.Dir, e.Path)
		d.newestSecond = max(d.newestSecond, date)
		if date != noDate && (d.oldestSecond == noDate || date < d.oldestSecond) {
			d.oldestSecond = date
		}
	}
	return w.writeDocuments(ctx, list)
}
