package search

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// ErrBusy is returned while another process writes to the index.
var ErrBusy = errors.New("another archiverd is at the index")

// Indexer keeps the index of an archive.
type Indexer struct {
	Archive   *archive.Archive
	Path      string // of the index
	GroupRead bool   // the index is readable by its group
	Rebuild   bool   // make it anew, whatever is there
	// Progress is told the documents indexed so far; nil: nobody is.
	Progress func(documents int)

	// readMessage reads a message; tests make some up.
	readMessage func(r documentReader, path string, sum archive.Sum) (*document, error)
}

// IndexReport is what an update did.
type IndexReport struct {
	Documents int      // in the index now
	Added     int      // of them by this update
	Notes     []string // what a person should know
	// Errors are of mailboxes and messages that could not be read: searches read
	// those from the archive.
	Errors []error
}

// Update brings the index up to the journals; one that is missing, or can't be used,
// is made anew, under another name so that searches have the old one or the new
// one. The error is ErrBusy while another process does that. Documents stay in the
// index when ctx ends an update of one that was there.
func (x *Indexer) Update(ctx context.Context) (done *IndexReport, err error) {
	if x.readMessage == nil {
		x.readMessage = func(r documentReader, p string, sum archive.Sum) (*document, error) {
			return r.readVerified(x.Archive, p, sum)
		}
	}
	release, err := lockIndex(x.Path, x.fileMode())
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", x.Path, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	done = &IndexReport{}
	ix, err := openIndex(ctx, x.Path, x.Archive, true)
	if err == nil && x.Rebuild {
		err = errors.Join(errNoIndex, ix.Close())
	}
	if err == nil {
		err = x.catchUp(ctx, ix, done)
		if err = errors.Join(err, ix.Close()); err == nil || ctx.Err() != nil {
			return done, err
		}
	}
	if !errors.Is(err, errNoIndex) {
		done.Notes = append(done.Notes, fmt.Sprintf("the index %s is made anew: %v", x.Path, err))
	}
	done.Added, done.Errors = 0, nil
	if err := x.rebuild(ctx, done); err != nil {
		return nil, fmt.Errorf("make index %s: %w", x.Path, err)
	}
	return done, nil
}

func (x *Indexer) fileMode() fs.FileMode {
	if x.GroupRead {
		return 0o640
	}
	return 0o600
}

// rebuild makes the index under another name and then renames it.
func (x *Indexer) rebuild(ctx context.Context, done *IndexReport) (err error) {
	temp := x.Path + ".new"
	if err := removeIfExists(temp); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, x.fileMode())
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, removeIfExists(temp))
		}
	}()
	ix, err := openSQLite(temp, "rw", "page_size(8192)", "journal_mode(off)", "synchronous(off)")
	if err != nil {
		return err
	}
	err = x.fill(ctx, ix, done)
	if err := errors.Join(err, ix.Close()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// The old index goes before its journal, which would be played back into the new.
	if err := errors.Join(removeIfExists(x.Path), removeIfExists(x.Path+"-journal")); err != nil {
		return err
	}
	if err := os.Rename(temp, x.Path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(x.Path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (x *Indexer) fill(ctx context.Context, ix *indexFile, done *IndexReport) error {
	for _, table := range schemaStatements {
		if _, err := ix.db.ExecContext(ctx, table); err != nil {
			return err
		}
	}
	if _, err := ix.db.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?)", x.Archive.ID(), schemaVersion); err != nil {
		return err
	}
	if err := x.catchUp(ctx, ix, done); err != nil {
		return err
	}
	_, err := ix.db.ExecContext(ctx, "INSERT INTO words (words) VALUES ('optimize')")
	return err
}

// catchUp brings an open index up to the journals, mailbox after mailbox.
func (x *Indexer) catchUp(ctx context.Context, ix *indexFile, done *IndexReport) error {
	known, err := ix.loadMailboxes(ctx)
	if err != nil {
		return err
	}
	boxes, err := x.Archive.Mailboxes("")
	if err != nil {
		return err
	}
	for _, b := range boxes {
		f := known[b.Dir]
		delete(known, b.Dir)
		if f == nil {
			f = &mailboxIndex{dir: b}
		}
		err := x.updateMailbox(ctx, ix, f, done)
		if errors.Is(err, archive.ErrCorrupt) {
			done.Errors = append(done.Errors, err)
		} else if err != nil {
			return err
		}
	}
	for _, f := range known { // their directories are gone
		if err := ix.transact(ctx, func(tx *sql.Tx) error { return deleteMailbox(tx, f) }); err != nil {
			return err
		}
	}
	if err := x.retryUnread(ctx, ix, done); err != nil {
		return err
	}
	return ix.db.QueryRowContext(ctx, "SELECT count(*) FROM doc WHERE read").Scan(&done.Documents)
}

func (ix *indexFile) loadMailboxes(ctx context.Context) (known map[string]*mailboxIndex, err error) {
	err = ix.transact(ctx, func(tx *sql.Tx) error {
		known, err = loadMailboxes(tx)
		return err
	})
	return known, err
}

// transact runs a transaction.
func (ix *indexFile) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := ix.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// What is read of a journal, and of messages, before it is put into the index.
const (
	batchEvents = 20_000
	batchOctets = 32 << 20
)

// updateMailbox brings one mailbox up to its journal: first the words of its new messages,
// which stay whatever comes, then what the journal says, with the new position.
func (x *Indexer) updateMailbox(ctx context.Context, ix *indexFile, f *mailboxIndex, done *IndexReport) error {
	at, size, err := x.Archive.HasPosition(f.dir, f.journal, f.position)
	if err != nil {
		return err
	}
	if f.id != 0 && (!at || f.position.Offset == 0) {
		if err := ix.transact(ctx, func(tx *sql.Tx) error { return deleteMailbox(tx, f) }); err != nil {
			return err
		}
	}
	if !at || f.position.Offset == 0 {
		f = &mailboxIndex{dir: f.dir}
	}
	if size == f.position.Offset {
		return nil
	}
	k := &indexWriter{Indexer: x, file: ix, report: done, mailbox: f, fromStart: f.position.Offset == 0}
	var events []archive.Event
	octets := int64(0)
	pos, err := x.Archive.Replay(f.dir, f.position, func(e archive.Event) error {
		events = append(events, e)
		if e.Kind == archive.Added {
			octets += e.Size
		}
		if len(events) < batchEvents && octets < batchOctets {
			return nil
		}
		err := k.writeEvents(ctx, events, nil)
		events, octets = events[:0], 0
		return err
	})
	if err != nil || pos == f.position {
		return err
	}
	return k.writeEvents(ctx, events, &pos)
}

// indexWriter puts what a journal says into the index.
type indexWriter struct {
	*Indexer
	file      *indexFile
	report    *IndexReport
	mailbox   *mailboxIndex
	fromStart bool // the journal is read from its start

	pendingEvents []archive.Event
}

// writeEvents puts events into the index. Those of a whole journal go there at once, and
// the position with the last; those of a tail together with it.
func (k *indexWriter) writeEvents(ctx context.Context, events []archive.Event, last *archive.Position) error {
	if err := k.writeMessages(ctx, k.mailbox.dir, events); err != nil {
		return err
	}
	if !k.fromStart && last == nil {
		k.pendingEvents = append(k.pendingEvents, events...)
		return nil
	}
	events = append(k.pendingEvents, events...)
	return k.file.transact(ctx, func(tx *sql.Tx) error {
		if k.mailbox.id == 0 {
			res, err := tx.Exec("INSERT INTO box (dir, account, journal, size, seal, latest, places) VALUES (?, ?, '', 0, '', 0, 0)", k.mailbox.dir.Dir, k.mailbox.dir.Account)
			if err != nil {
				return err
			}
			if k.mailbox.id, err = res.LastInsertId(); err != nil {
				return err
			}
		}
		t := newJournalTail(tx, k.mailbox)
		t.notIndexed = k.fromStart && k.mailbox.placeCount == 0
		for _, e := range events {
			if err := t.apply(e); err != nil {
				return err
			}
		}
		if last != nil {
			k.mailbox.position = *last
		}
		return t.store()
	})
}

// retryUnread tries to read what could not be read before.
func (x *Indexer) retryUnread(ctx context.Context, ix *indexFile, done *IndexReport) error {
	rows, err := ix.db.QueryContext(ctx, `SELECT box.dir, box.account, place.path, doc.sum, doc.size, place.date FROM doc
		JOIN place ON place.doc = doc.id JOIN box ON box.id = place.box WHERE doc.read = 0 GROUP BY doc.id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []*newDocument
	for rows.Next() {
		w := &newDocument{newestSecond: noDate, oldestSecond: noDate}
		var dir, account, p string
		var sum []byte
		var date sql.NullInt64
		if err := rows.Scan(&dir, &account, &p, &sum, &w.size, &date); err != nil {
			return err
		}
		w.path = path.Join(dir, p)
		copy(w.sum[:], sum)
		list = append(list, w)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(list) == 0 {
		return err
	}
	done.Errors = slices.DeleteFunc(done.Errors, func(err error) bool { return errors.Is(err, errNotIndexed) })
	k := &indexWriter{Indexer: x, file: ix, report: done}
	return k.writeDocuments(ctx, list)
}

// writeMessages puts the messages of events into the index that are not there.
func (k *indexWriter) writeMessages(ctx context.Context, b archive.MailboxDir, events []archive.Event) error {
	of := map[archive.Sum]*newDocument{}
	var list []*newDocument
	for _, e := range events {
		if e.Kind != archive.Added {
			continue
		}
		date := unixSeconds(e.InternalDate)
		w := of[e.Sum]
		if w == nil {
			w = &newDocument{sum: e.Sum, size: e.Size, newestSecond: date, oldestSecond: date}
			of[e.Sum] = w
			list = append(list, w)
		}
		w.path = path.Join(b.Dir, e.Path)
		w.newestSecond = max(w.newestSecond, date)
		if date != noDate && (w.oldestSecond == noDate || date < w.oldestSecond) {
			w.oldestSecond = date
		}
	}
	return k.writeDocuments(ctx, list)
}

// newDocument is a message that is to be in the index.
type newDocument struct {
	path                       string
	sum                        archive.Sum
	size                       int64
	newestSecond, oldestSecond int64 // seconds of its newest and oldest place
	id                         int64 // its number now, 0: none
	indexed                    bool  // it is in the index, with its words
	document                   *document
	err                        error
}

// errNotIndexed marks the error of a message that could not be read.
var errNotIndexed = errors.New("it is not in the index")

// writeDocuments puts messages into the index, or gives them the number that a newer date asks
// for. FTS5 takes rows in ascending order without writing each by itself.
func (k *indexWriter) writeDocuments(ctx context.Context, list []*newDocument) error {
	list, err := k.needWriting(ctx, list)
	if err != nil || len(list) == 0 {
		return err
	}
	var g errgroup.Group
	g.SetLimit(parallelReads())
	for part := range slices.Chunk(list, 16) {
		g.Go(func() error {
			r := documentReader{newWordFolder()}
			for _, w := range part {
				if err := ctx.Err(); err != nil {
					return err
				}
				w.document, w.err = k.readMessage(r, w.path, w.sum)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b *newDocument) int { return compareNewDocuments(a, b) })
	err = k.file.transact(ctx, func(tx *sql.Tx) error {
		ins, err := newDocumentWriter(tx)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := ins.write(w); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, w := range list {
		if w.err != nil {
			k.report.Errors = append(k.report.Errors, fmt.Errorf("%w: %w", errNotIndexed, w.err))
		} else if !w.indexed {
			k.report.Added++
		}
		w.document = nil
	}
	if k.Progress != nil {
		k.Progress(k.report.Added)
	}
	return nil
}

// compareNewDocuments orders by date, then by sum.
func compareNewDocuments(a, b *newDocument) int {
	if a.newestSecond != b.newestSecond {
		if a.newestSecond < b.newestSecond {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.sum[:], b.sum[:])
}

// needWriting are those of list that are not in the index, or under a number that is
// too low.
func (k *indexWriter) needWriting(ctx context.Context, list []*newDocument) (out []*newDocument, err error) {
	err = k.file.transact(ctx, func(tx *sql.Tx) error {
		find, err := tx.Prepare("SELECT id, low, read FROM doc WHERE sum = ?")
		if err != nil {
			return err
		}
		for _, w := range list {
			var low int64
			switch err := find.QueryRow(w.sum[:]).Scan(&w.id, &low, &w.indexed); {
			case errors.Is(err, sql.ErrNoRows):
				out = append(out, w)
				continue
			case err != nil:
				return err
			}
			if w.oldestSecond != noDate && (low == noDate || w.oldestSecond < low) {
				if _, err := tx.Exec("UPDATE doc SET low = ? WHERE id = ?", w.oldestSecond, w.id); err != nil {
					return err
				}
			} else {
				w.oldestSecond = low
			}
			if w.newestSecond > w.id>>secondBits || !w.indexed {
				out = append(out, w)
			}
		}
		return nil
	})
	return out, err
}
