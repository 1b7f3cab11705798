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
	"syscall"

	_ "modernc.org/sqlite" // SQLite with FTS5, as database/sql driver "sqlite"
	"modernc.org/sqlite/vfs"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// errNoIndex is returned when there is no index file.
var errNoIndex = errors.New("there is no index")

// indexFile is an open index. Close closes it.
type indexFile struct {
	db *sql.DB
	// Of an index that was opened for reading:
	verified   *verifiedFS
	registered *vfs.FS // with SQLite
}

// openIndex opens the existing index at path. It returns errNoIndex if there is no file,
// and another error if the index is damaged or not of archive a and this schema. For
// writing the whole file is verified, for reading each chunk when it is read.
func openIndex(ctx context.Context, path string, a *archive.Archive, write bool) (*indexFile, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoIndex
	}
	if err != nil {
		return nil, err
	}
	path = durable.FollowLinks(path)
	if err := checkReplaceable(path); err != nil {
		return nil, err
	}
	var file *indexFile
	if write {
		if err = verifySums(path); err == nil {
			file, err = openSQLite(path, "rw")
		}
	} else {
		file, err = openVerified(path)
	}
	if err != nil {
		return nil, err
	}
	var id, version string
	var octets int64
	err = file.db.QueryRowContext(ctx, `SELECT meta.archive, meta.schema, page_count * page_size
		FROM meta, pragma_page_count(), pragma_page_size()`).Scan(&id, &version, &octets)
	switch {
	case err != nil:
		err = fmt.Errorf("read its header: %w", file.cause(err))
	case octets > st.Size():
		err = fmt.Errorf("the file is truncated to %d of %d octets", st.Size(), octets)
	case version != schemaVersion:
		err = errors.New("another version of archiverd made it")
	case id != a.ID():
		err = fmt.Errorf("it belongs to archive %s, not %s", id, a.ID())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// openSQLite opens an SQLite file with one connection, so that all statements see the
// same transaction.
func openSQLite(path, mode string, pragmas ...string) (*indexFile, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return openSQLiteURI((&url.URL{Scheme: "file", Path: abs}).String(), mode, "", pragmas...)
}

// openSQLiteURI is openSQLite for a URI and a VFS; "": that of the system.
func openSQLiteURI(uri, mode, vfsName string, pragmas ...string) (*indexFile, error) {
	v := url.Values{"mode": {mode}}
	if vfsName != "" {
		v.Set("vfs", vfsName)
	}
	for _, p := range append([]string{"busy_timeout(10000)", "cache_size(-65536)", "temp_store(memory)"}, pragmas...) {
		v.Add("_pragma", p)
	}
	db, err := sql.Open("sqlite", uri+"?"+v.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &indexFile{db: db}, nil
}

// cause returns the reason of an error of SQLite, if a read failed, else the error.
func (f *indexFile) cause(err error) error {
	if err != nil && f.verified != nil && f.verified.err != nil {
		return f.verified.err
	}
	return err
}

// Close closes the file.
func (f *indexFile) Close() error {
	err := f.db.Close()
	if f.registered != nil {
		err = errors.Join(err, f.registered.Close())
	}
	return err
}

// transact calls fn in a transaction. It commits if fn returns nil and rolls back
// otherwise.
func (f *indexFile) transact(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// lockIndex takes the writers' lock of the index at path; release frees it. The error is
// ErrBusy if another writer has it. Readers use only the locks of SQLite.
func lockIndex(path string, mode fs.FileMode) (release func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, mode)
	if err != nil {
		return nil, err
	}
	if err := durable.TryLock(f); err != nil {
		if errors.Is(err, durable.ErrLocked) {
			err = ErrBusy
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
