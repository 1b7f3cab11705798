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
	Archive *archive.Archive
	Path    string // of the index
	Group   bool   // the index is readable by its group
	Rebuild bool   // make it anew, whatever is there
	// Progress is told the documents indexed so far; nil: nobody is.
	Progress func(documents int)

	// read reads a message; tests make some up.
	read func(r reader, path string, sum archive.Sum) (*document, error)
}

// Indexed is what an update did.
type Indexed struct {
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
func (x *Indexer) Update(ctx context.Context) (done *Indexed, err error) {
	if x.read == nil {
		x.read = func(r reader, p string, sum archive.Sum) (*document, error) { return r.readWhole(x.Archive, p, sum) }
	}
	release, err := lock(x.Path, x.mode())
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", x.Path, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	done = &Indexed{}
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

func (x *Indexer) mode() fs.FileMode {
	if x.Group {
		return 0o640
	}
	return 0o600
}

// rebuild makes the index under another name and then renames it.
func (x *Indexer) rebuild(ctx context.Context, done *Indexed) (err error) {
	temp := x.Path + ".new"
	if err := remove(temp); err != nil {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_RDWR, x.mode())
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			err = errors.Join(err, remove(temp))
		}
	}()
	ix, err := connect(temp, "rw", "page_size(8192)", "journal_mode(off)", "synchronous(off)")
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
	if err := errors.Join(remove(x.Path), remove(x.Path+"-journal")); err != nil {
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

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (x *Indexer) fill(ctx context.Context, ix *index, done *Indexed) error {
	for _, table := range tables {
		if _, err := ix.db.ExecContext(ctx, table); err != nil {
			return err
		}
	}
	if _, err := ix.db.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?)", x.Archive.ID(), schema); err != nil {
		return err
	}
	if err := x.catchUp(ctx, ix, done); err != nil {
		return err
	}
	_, err := ix.db.ExecContext(ctx, "INSERT INTO words (words) VALUES ('optimize')")
	return err
}

// catchUp brings an open index up to the journals, mailbox after mailbox.
func (x *Indexer) catchUp(ctx context.Context, ix *index, done *Indexed) error {
	known, err := ix.facts(ctx)
	if err != nil {
		return err
	}
	boxes, err := x.Archive.Boxes("")
	if err != nil {
		return err
	}
	for _, b := range boxes {
		f := known[b.Dir]
		delete(known, b.Dir)
		if f == nil {
			f = &facts{box: b}
		}
		err := x.mailbox(ctx, ix, f, done)
		if errors.Is(err, archive.ErrCorrupt) {
			done.Errors = append(done.Errors, err)
		} else if err != nil {
			return err
		}
	}
	for _, f := range known { // their directories are gone
		if err := ix.update(ctx, func(tx *sql.Tx) error { return forget(tx, f) }); err != nil {
			return err
		}
	}
	if err := x.again(ctx, ix, done); err != nil {
		return err
	}
	return ix.db.QueryRowContext(ctx, "SELECT count(*) FROM doc WHERE read").Scan(&done.Documents)
}

func (ix *index) facts(ctx context.Context) (known map[string]*facts, err error) {
	err = ix.update(ctx, func(tx *sql.Tx) error {
		known, err = loadFacts(tx)
		return err
	})
	return known, err
}

// update runs a transaction.
func (ix *index) update(ctx context.Context, fn func(*sql.Tx) error) error {
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

// mailbox brings one mailbox up to its journal: first the words of its new messages,
// which stay whatever comes, then what the journal says, with the new position.
func (x *Indexer) mailbox(ctx context.Context, ix *index, f *facts, done *Indexed) error {
	at, size, err := x.Archive.At(f.box, f.journal, f.pos)
	if err != nil {
		return err
	}
	if f.id != 0 && (!at || f.pos.Offset == 0) {
		if err := ix.update(ctx, func(tx *sql.Tx) error { return forget(tx, f) }); err != nil {
			return err
		}
	}
	if !at || f.pos.Offset == 0 {
		f = &facts{box: f.box}
	}
	if size == f.pos.Offset {
		return nil
	}
	k := &keeper{Indexer: x, ix: ix, done: done, f: f, whole: f.pos.Offset == 0}
	var events []archive.Event
	octets := int64(0)
	pos, err := x.Archive.Replay(f.box, f.pos, func(e archive.Event) error {
		events = append(events, e)
		if e.Kind == archive.Added {
			octets += e.Size
		}
		if len(events) < batchEvents && octets < batchOctets {
			return nil
		}
		err := k.batch(ctx, events, nil)
		events, octets = events[:0], 0
		return err
	})
	if err != nil || pos == f.pos {
		return err
	}
	return k.batch(ctx, events, &pos)
}

// keeper puts what a journal says into the index.
type keeper struct {
	*Indexer
	ix    *index
	done  *Indexed
	f     *facts
	whole bool // the journal is read from its start

	late []archive.Event
}

// batch puts events into the index. Those of a whole journal go there at once, and
// the position with the last; those of a tail together with it.
func (k *keeper) batch(ctx context.Context, events []archive.Event, last *archive.Position) error {
	if err := k.documents(ctx, k.f.box, events); err != nil {
		return err
	}
	if !k.whole && last == nil {
		k.late = append(k.late, events...)
		return nil
	}
	events = append(k.late, events...)
	return k.ix.update(ctx, func(tx *sql.Tx) error {
		if k.f.id == 0 {
			res, err := tx.Exec("INSERT INTO box (dir, account, journal, size, seal, latest, places) VALUES (?, ?, '', 0, '', 0, 0)", k.f.box.Dir, k.f.box.Account)
			if err != nil {
				return err
			}
			if k.f.id, err = res.LastInsertId(); err != nil {
				return err
			}
		}
		t := newTail(tx, k.f)
		t.new = k.whole && k.f.places == 0
		for _, e := range events {
			if err := t.apply(e); err != nil {
				return err
			}
		}
		if last != nil {
			k.f.pos = *last
		}
		return t.store()
	})
}

// again tries to read what could not be read before.
func (x *Indexer) again(ctx context.Context, ix *index, done *Indexed) error {
	rows, err := ix.db.QueryContext(ctx, `SELECT box.dir, box.account, place.path, doc.sum, doc.size, place.date FROM doc
		JOIN place ON place.doc = doc.id JOIN box ON box.id = place.box WHERE doc.read = 0 GROUP BY doc.id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []*wanted
	for rows.Next() {
		w := &wanted{date: noDate, low: noDate}
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
	done.Errors = slices.DeleteFunc(done.Errors, func(err error) bool { return errors.Is(err, errUnread) })
	k := &keeper{Indexer: x, ix: ix, done: done}
	return k.put(ctx, list)
}

// documents puts the messages of events into the index that are not there.
func (k *keeper) documents(ctx context.Context, b archive.Box, events []archive.Event) error {
	of := map[archive.Sum]*wanted{}
	var list []*wanted
	for _, e := range events {
		if e.Kind != archive.Added {
			continue
		}
		date := seconds(e.InternalDate)
		w := of[e.Sum]
		if w == nil {
			w = &wanted{sum: e.Sum, size: e.Size, date: date, low: date}
			of[e.Sum] = w
			list = append(list, w)
		}
		w.path = path.Join(b.Dir, e.Path)
		w.date = max(w.date, date)
		if date != noDate && (w.low == noDate || date < w.low) {
			w.low = date
		}
	}
	return k.put(ctx, list)
}

// wanted is a message that is to be in the index.
type wanted struct {
	path      string
	sum       archive.Sum
	size      int64
	date, low int64 // seconds of its newest and oldest place
	id        int64 // its number now, 0: none
	had       bool  // it is in the index, with its words
	doc       *document
	err       error
}

// errUnread marks the error of a message that could not be read.
var errUnread = errors.New("it is not in the index")

// put puts messages into the index, or gives them the number that a newer date asks
// for. FTS5 takes rows in ascending order without writing each by itself.
func (k *keeper) put(ctx context.Context, list []*wanted) error {
	list, err := k.missing(ctx, list)
	if err != nil || len(list) == 0 {
		return err
	}
	var g errgroup.Group
	g.SetLimit(workers())
	for part := range slices.Chunk(list, 16) {
		g.Go(func() error {
			r := reader{newFolder()}
			for _, w := range part {
				if err := ctx.Err(); err != nil {
					return err
				}
				w.doc, w.err = k.read(r, w.path, w.sum)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b *wanted) int { return cmpOr(a, b) })
	err = k.ix.update(ctx, func(tx *sql.Tx) error {
		ins, err := newInserter(tx)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := ins.insert(w); err != nil {
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
			k.done.Errors = append(k.done.Errors, fmt.Errorf("%w: %w", errUnread, w.err))
		} else if !w.had {
			k.done.Added++
		}
		w.doc = nil
	}
	if k.Progress != nil {
		k.Progress(k.done.Added)
	}
	return nil
}

// cmpOr orders by date, then by sum.
func cmpOr(a, b *wanted) int {
	if a.date != b.date {
		if a.date < b.date {
			return -1
		}
		return 1
	}
	return bytes.Compare(a.sum[:], b.sum[:])
}

// missing are those of list that are not in the index, or under a number that is
// too low.
func (k *keeper) missing(ctx context.Context, list []*wanted) (out []*wanted, err error) {
	err = k.ix.update(ctx, func(tx *sql.Tx) error {
		find, err := tx.Prepare("SELECT id, low, read FROM doc WHERE sum = ?")
		if err != nil {
			return err
		}
		for _, w := range list {
			var low int64
			switch err := find.QueryRow(w.sum[:]).Scan(&w.id, &low, &w.had); {
			case errors.Is(err, sql.ErrNoRows):
				out = append(out, w)
				continue
			case err != nil:
				return err
			}
			if w.low != noDate && (low == noDate || w.low < low) {
				if _, err := tx.Exec("UPDATE doc SET low = ? WHERE id = ?", w.low, w.id); err != nil {
					return err
				}
			} else {
				w.low = low
			}
			if w.date > w.id>>secondBits || !w.had {
				out = append(out, w)
			}
		}
		return nil
	})
	return out, err
}
