package search

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// newDocument is a message that is to be written to the index.
type newDocument struct {
	path string // in the archive
	sum  archive.Sum
	size int64 // octets
	// Seconds of the newest and oldest INTERNALDATE of its places, noDate if none is known.
	newestSecond, oldestSecond int64

	id       int64 // present number, 0: not in the index
	indexed  bool  // the index has its words
	document *document
	err      error // why it can't be read
}

// errNotIndexed marks the error of a message that can't be read.
var errNotIndexed = errors.New("it is not in the index")

// writeDocuments writes those messages of a list that the index lacks, or that need a
// higher number because of a newer place. A message that can't be read is written
// without words and added to the report's errors.
func (w *indexWriter) writeDocuments(ctx context.Context, list []*newDocument) error {
	list, err := w.needWriting(ctx, list)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := w.readDocuments(ctx, list); err != nil {
		return err
	}
	// FTS5 collects rows in memory while their numbers ascend; a row with a lower number
	// makes it write those to the file first.
	slices.SortFunc(list, func(a, b *newDocument) int {
		return cmp.Or(cmp.Compare(a.newestSecond, b.newestSecond), bytes.Compare(a.sum[:], b.sum[:]))
	})
	err = w.file.transact(ctx, func(tx *sql.Tx) error {
		dw, err := newDocumentWriter(tx)
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := dw.write(d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.err != nil {
			w.report.Errors = append(w.report.Errors, fmt.Errorf("%w: %w", errNotIndexed, d.err))
		} else if !d.indexed {
			w.report.Added++
		}
	}
	if w.Progress != nil {
		w.Progress(w.report.Added)
	}
	return nil
}

// needWriting returns the messages that the index lacks, or has without words or under a
// number that is too low. It updates the oldest date of the others.
func (w *indexWriter) needWriting(ctx context.Context, list []*newDocument) (out []*newDocument, err error) {
	err = w.file.transact(ctx, func(tx *sql.Tx) error {
		find, err := tx.Prepare("SELECT id, low, read FROM doc WHERE sum = ?")
		if err != nil {
			return err
		}
		for _, d := range list {
			var oldest int64
			switch err := find.QueryRow(d.sum[:]).Scan(&d.id, &oldest, &d.indexed); {
			case errors.Is(err, sql.ErrNoRows):
				out = append(out, d)
				continue
			case err != nil:
				return err
			}
			if d.oldestSecond != noDate && (oldest == noDate || d.oldestSecond < oldest) {
				if _, err := tx.Exec("UPDATE doc SET low = ? WHERE id = ?", d.oldestSecond, d.id); err != nil {
					return err
				}
			} else {
				d.oldestSecond = oldest
			}
			if d.newestSecond > d.id>>secondBits || !d.indexed {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// readDocuments reads the messages of a list in parallel and sets their document or err.
// It returns an error only if ctx ends.
func (w *indexWriter) readDocuments(ctx context.Context, list []*newDocument) error {
	var g errgroup.Group
	g.SetLimit(parallelReads())
	for part := range slices.Chunk(list, 16) {
		g.Go(func() error {
			r := documentReader{newWordFolder()}
			for _, d := range part {
				if err := ctx.Err(); err != nil {
					return err
				}
				d.document, d.err = w.readMessage(r, d.path, d.sum)
			}
			return nil
		})
	}
	return g.Wait()
}

// documentWriter writes documents in one transaction.
type documentWriter struct {
	maxID, insertDocument, insertWords      *sql.Stmt
	deleteDocument, deleteWords, movePlaces *sql.Stmt
	// nextSecond has, for each date that was given a number, the second from which the
	// search for a free number continues.
	nextSecond map[int64]int64
}

func newDocumentWriter(tx *sql.Tx) (*documentWriter, error) {
	w := &documentWriter{nextSecond: map[int64]int64{}}
	for _, s := range []struct {
		statement **sql.Stmt
		text      string
	}{
		{&w.maxID, "SELECT max(id) FROM doc WHERE id BETWEEN ? AND ?"},
		{&w.insertDocument, "INSERT INTO doc (id, sum, size, low, attachment, read) VALUES (?, ?, ?, ?, ?, ?)"},
		{&w.insertWords, "INSERT INTO words (rowid, c0, c1, c2, c3, c4, c5, c6, c7) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&w.deleteDocument, "DELETE FROM doc WHERE id = ?"},
		{&w.deleteWords, "DELETE FROM words WHERE rowid = ?"},
		{&w.movePlaces, "UPDATE place SET doc = ? WHERE doc = ?"},
	} {
		var err error
		if *s.statement, err = tx.Prepare(s.text); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// write inserts a document under a number of its date. If the index has the document,
// it gets a new number, and its places move with it.
func (w *documentWriter) write(d *newDocument) error {
	oldID, date := d.id, d.newestSecond
	if oldID != 0 {
		date = max(date, oldID>>secondBits)
		if _, err := w.deleteDocument.Exec(oldID); err != nil {
			return err
		}
		if _, err := w.deleteWords.Exec(oldID); err != nil {
			return err
		}
	}
	id, err := w.freeID(date)
	if err != nil {
		return err
	}
	d.id = id
	read, attachment := d.err == nil, d.err == nil && d.document.attachment
	if _, err := w.insertDocument.Exec(id, d.sum[:], d.size, d.oldestSecond, attachment, read); err != nil {
		return err
	}
	if read {
		args := []any{id}
		for _, words := range d.document.words {
			args = append(args, words)
		}
		if _, err := w.insertWords.Exec(args...); err != nil {
			return err
		}
	}
	if oldID != 0 {
		_, err = w.movePlaces.Exec(id, oldID)
	}
	return err
}

// freeID returns a free document number of a date, or of the next second that has one.
// It is never 0.
func (w *documentWriter) freeID(date int64) (int64, error) {
	second, ok := w.nextSecond[date]
	if !ok {
		second = date
	}
	for ; ; second++ {
		first, last := second<<secondBits, second<<secondBits|(1<<secondBits-1)
		var highest sql.NullInt64
		if err := w.maxID.QueryRow(first, last).Scan(&highest); err != nil {
			return 0, err
		}
		if highest.Valid && highest.Int64 == last {
			continue
		}
		w.nextSecond[date] = second
		id := first
		if highest.Valid {
			id = highest.Int64 + 1
		}
		if id == 0 {
			id = 1
		}
		return id, nil
	}
}
