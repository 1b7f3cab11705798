package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the engine: SQLite with FTS5, in Go

	"archiverd/archive"
)

var (
	// errNoIndex is returned where there is no index.
	errNoIndex = errors.New("there is no index")
	// errUnusable is returned for an index of another archive or version.
	errUnusable = errors.New("it can't be used")
	// errDamagedMessage is returned for a message whose octets are not those of the journal.
	errDamagedMessage = errors.New("its octets are not those that were archived; `archiverd verify` tells more")
)

// indexFile is an open index file. Close closes it.
type indexFile struct{ db *sql.DB }

// openIndex opens the index at path, which must be there. It is made ready for
// archive a, or refused.
func openIndex(ctx context.Context, path string, a *archive.Archive, write bool) (*indexFile, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoIndex
	}
	if err != nil {
		return nil, err
	}
	mode := "ro"
	if write {
		mode = "rw"
	}
	ix, err := openSQLite(path, mode)
	if err != nil {
		return nil, err
	}
	var id, version string
	var octets int64
	err = ix.db.QueryRowContext(ctx, `SELECT meta.archive, meta.schema, page_count * page_size
		FROM meta, pragma_page_count(), pragma_page_size()`).Scan(&id, &version, &octets)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", errUnusable, err)
	case octets > st.Size():
		err = fmt.Errorf("%w: it has %d octets of %d", errUnusable, st.Size(), octets)
	case version != schemaVersion:
		err = fmt.Errorf("%w: another version of archiverd made it", errUnusable)
	case id != a.ID():
		err = fmt.Errorf("%w: it is of archive %s, not %s", errUnusable, id, a.ID())
	}
	if err != nil {
		return nil, errors.Join(err, ix.Close())
	}
	return ix, nil
}

// openSQLite opens a file of SQLite's. There is one connection to it: statements see
// the same transaction.
func openSQLite(path, mode string, pragmas ...string) (*indexFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	v := url.Values{"mode": {mode}}
	for _, p := range append([]string{"busy_timeout(10000)", "cache_size(-65536)", "temp_store(memory)"}, pragmas...) {
		v.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: abs, RawQuery: v.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &indexFile{db}, nil
}

// Close closes the file.
func (ix *indexFile) Close() error { return ix.db.Close() }

// lockIndex keeps other writers of the index at path away, until release is called. A
// reader needs no lock but SQLite's.
func lockIndex(path string, mode fs.FileMode) (release func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, mode)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
