package search

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// ErrBusy is returned when another process writes to the index.
var ErrBusy = errors.New("another archiverd is updating the index")

// Indexer updates the index of an archive.
type Indexer struct {
	Archive   *archive.Archive
	Path      string // of the index
	GroupRead bool   // a new index is readable by its group
	Rebuild   bool   // rebuild the index even if it can be used
	// Progress is called with the number of documents added so far; nil: not called.
	Progress func(documents int)

	// readMessage reads a message for the index. Tests replace it.
	readMessage func(r documentReader, path string, sum archive.Sum) (*document, error)
}

// IndexReport is the result of an update.
type IndexReport struct {
	Documents int      // messages in the index now
	Added     int      // messages added by this update
	Notes     []string // remarks for people
	// Errors has one error for each mailbox and message that could not be read. They are
	// not in the index, and searches read them from the archive.
	Errors []error
}

// Update brings the index up to date with the journals. An index that is missing or
// can't be used is rebuilt in another file, which then replaces it: concurrent searches
// use the old index or the new one. The error is ErrBusy while another process updates
// the index, and wraps durable.ErrForeign if archiverd did not make the file at Path, which
// is left alone then. If ctx ends, the messages that were added to an existing index stay there.
func (x *Indexer) Update(ctx context.Context) (report *IndexReport, err error) {
	if x.readMessage == nil {
		x.readMessage = func(r documentReader, path string, sum archive.Sum) (*document, error) {
			return r.readVerified(x.Archive, path, sum)
		}
	}
	resolved := *x
	resolved.Path = durable.FollowLinks(x.Path)
	x = &resolved
	release, err := lockIndex(x.Path, x.fileMode())
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", x.Path, err)
	}
	defer func() { err = errors.Join(err, release()) }()
	report = &IndexReport{}
	if err := checkReplaceable(x.Path); err != nil {
		return nil, fmt.Errorf("index: %w", err)
	}
	file, err := openIndex(ctx, x.Path, x.Archive, true)
	if err == nil && x.Rebuild {
		err = errors.Join(errNoIndex, file.Close())
	}
	if err == nil {
		if err = x.catchUp(ctx, file, report); err == nil || ctx.Err() != nil {
			return report, err
		}
	}
	if !errors.Is(err, errNoIndex) {
		report.Notes = append(report.Notes, fmt.Sprintf("the index %s is rebuilt: %v", x.Path, err))
	}
	report.Added, report.Errors = 0, nil
	if err := x.rebuild(ctx, report); err != nil {
		return nil, fmt.Errorf("rebuild index %s: %w", x.Path, err)
	}
	return report, nil
}

// catchUp brings an open index up to date and closes it. Checksums are written also if ctx
// ends: what was committed until then stays.
func (x *Indexer) catchUp(ctx context.Context, file *indexFile, report *IndexReport) error {
	before, err := changeCounter(x.Path)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w := &indexWriter{Indexer: x, file: file, report: report}
	err = errors.Join(w.catchUp(ctx), file.Close())
	after, cerr := changeCounter(x.Path)
	if cerr != nil || after != before {
		cerr = errors.Join(cerr, writeSums(x.Path, x.fileMode()))
	}
	return errors.Join(err, cerr)
}

// fileMode returns the mode of new files.
func (x *Indexer) fileMode() fs.FileMode {
	if x.GroupRead {
		return 0o640
	}
	return 0o600
}

// rebuild writes a new index to a temporary file and renames it.
func (x *Indexer) rebuild(ctx context.Context, report *IndexReport) (err error) {
	temp := x.Path + ".new"
	if err := removeIndex(temp); err != nil {
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
	// A crash leaves only the temporary file: SQLite needs neither journal nor fsync.
	file, err := openSQLite(temp, "rw", "page_size(8192)", "journal_mode(off)", "synchronous(off)")
	if err != nil {
		return err
	}
	err = x.fill(ctx, file, report)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := removeIndex(x.Path); err != nil {
		return err
	}
	if err := durable.Rename(temp, x.Path); err != nil {
		return err
	}
	return writeSums(x.Path, x.fileMode())
}

// removeIfExists removes a file. A file that does not exist is no error.
func removeIfExists(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fill creates the tables in an empty index file and writes all journals to it.
func (x *Indexer) fill(ctx context.Context, file *indexFile, report *IndexReport) error {
	for _, statement := range schemaStatements {
		if _, err := file.db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	if _, err := file.db.ExecContext(ctx, "INSERT INTO meta VALUES (?, ?)", x.Archive.ID(), schemaVersion); err != nil {
		return err
	}
	w := &indexWriter{Indexer: x, file: file, report: report}
	if err := w.catchUp(ctx); err != nil {
		return err
	}
	_, err := file.db.ExecContext(ctx, "INSERT INTO words (words) VALUES ('optimize')")
	return err
}
