package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	gosync "sync"
	"time"

	"go.etcd.io/bbolt"
	bberrors "go.etcd.io/bbolt/errors"

	"archiverd/archive"
	"archiverd/internal/durable"
)

var (
	// ErrDamaged is returned when the database can't be read or written and
	// must be rebuilt.
	ErrDamaged = errors.New("the state database is damaged; it is rebuilt from the journals at the next start, or by `archiverd rebuild`")
	// ErrLocked is returned when another process has the database open.
	ErrLocked = errors.New("another archiverd has the state database open")

	errPanic = errors.New("bbolt panicked")
)

// DB is the state database of one archive, opened for writing. Its methods may be
// called from several goroutines. The caller closes it.
type DB struct {
	path string
	w    *archive.Writer

	applyMu gosync.Mutex // held while events are applied; locked before mu

	mu          gosync.RWMutex // guards the fields below; locked for writing while the file is replaced
	bolt        *bbolt.DB
	buffer      *indexBuffer // of bolt
	broken      bool
	full        bool                    // its disk was full: Resume opens it again
	failedTx    int                     // with full: the number of the transaction that failed
	bboltLocked bool                    // a panic in bbolt left its locks locked: closing the file would wait for ever
	mark        archive.CheckpointsMark // the place in the checkpoints that the file had learned when it was opened
	rebuilt     bool                    // Rebuild has made the file since Open was called

	trafficMu gosync.Mutex // guards traffic; no transaction runs under it
	traffic   map[string]*accountTraffic
}

// ArchiveID returns the ID of the archive that the database at path belongs to; empty if
// there is no database or it can't be read.
func ArchiveID(path string) string {
	r, err := OpenReader(path)
	if err != nil {
		return ""
	}
	defer r.Close()
	id := ""
	_ = viewBolt(r.bolt, func(tx *bbolt.Tx) error { // an error means that there is no ID
		if b := tx.Bucket(metaBucket); b != nil {
			id = string(b.Get(archiveKey))
		}
		return nil
	})
	return id
}

// Open opens the database at path for the archive of w. The database may be behind the
// journals: until CatchUp has been called, only Runs and Traffic may be read. A database
// that is missing, damaged or of another layout is rebuilt; the notes tell people so, and
// why. The error is ErrLocked while another process has the database open, and wraps
// durable.ErrForeign for a file that archiverd did not make, which is left alone. The
// caller closes the database.
func Open(path string, w *archive.Writer) (db *DB, notes []string, err error) {
	path = durable.FollowLinks(path)
	if err := checkReplaceable(path); err != nil {
		return nil, nil, fmt.Errorf("state database: %w", err)
	}
	db = &DB{path: path, w: w}
	db.bolt, err = openBolt(path, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dirs, err := w.Mailboxes(""); err == nil && len(dirs) == 0 {
			break // a new archive
		}
		notes = append(notes, fmt.Sprintf("no state database at %s: rebuilding it from the journals", path))
	case errors.Is(err, ErrLocked):
		return nil, nil, err
	case err != nil:
		notes = append(notes, fmt.Sprintf("state database %s can't be used (%v): rebuilding it from the journals", path, err))
	default:
		if err := db.checkLayout(); err != nil {
			notes = append(notes, fmt.Sprintf("state database %s can't be used (%v): rebuilding it from the journals", path, err))
			if err := db.bolt.Close(); err != nil {
				return nil, nil, fmt.Errorf("close state database: %w", err)
			}
			db.bolt = nil
		}
	}
	mark := archive.CheckpointsMark{}
	if db.bolt != nil {
		if mark, err = readMark(db.bolt); err != nil {
			notes = append(notes, fmt.Sprintf("state database %s can't be used (%v): rebuilding it from the journals", path, err))
			_ = db.close() // it is replaced
		}
	}
	if err := db.checkCheckpoints(mark); err != nil {
		return nil, notes, errors.Join(err, db.close())
	}
	if db.bolt == nil {
		more, err := db.Rebuild()
		return db, append(notes, more...), err
	}
	db.buffer = newIndexBuffer(db.bolt)
	return db, notes, nil
}

// initialMapSize is the size of the memory map in octets, which cost no disk space:
// bbolt would otherwise double it from 32 KiB on, with an fsync each time.
const initialMapSize = 4 << 20

// openBolt opens an existing file. The error is ErrLocked while another process has it
// open.
func openBolt(path string, readOnly bool) (b *bbolt.DB, err error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() { // opening a pipe would wait
		err = fmt.Errorf("%s is %s: %w", path, durable.KindName(info.Mode()), durable.ErrForeign)
	}
	if err != nil {
		return nil, err
	}
	defer recoverFault(&err)()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 200 * time.Millisecond, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly, InitialMmapSize: initialMapSize})
	if errors.Is(err, bberrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	return b, err
}

// recoverFault turns a panic or a memory fault in the code after it, as a damaged file
// causes them, into ErrDamaged. Use it as defer recoverFault(&err)().
func recoverFault(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %w: %v", ErrDamaged, errPanic, p)
		}
	}
}

// Close closes the database.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.close()
}

// close is Close for a caller that holds mu.
func (db *DB) close() error {
	b, locked := db.bolt, db.bboltLocked
	db.bolt, db.bboltLocked = nil, false
	if b == nil || locked {
		return nil // the end of the process closes the file; Rebuild replaces it
	}
	return b.Close()
}

// Broken reports whether the database must be rebuilt, or resumed, before it can be used.
func (db *DB) Broken() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.broken || db.full || db.bolt == nil
}

// IsRebuilt reports whether the database has been rebuilt since it was opened.
func (db *DB) IsRebuilt() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.rebuilt
}

// view runs a read transaction. If it returns ErrDamaged, the database is broken.
func (db *DB) view(fn func(*bbolt.Tx) error) error {
	return db.withBolt(func(b *bbolt.DB, _ *indexBuffer) error { return viewBolt(b, fn) })
}

// viewIndexes runs a read transaction on the indexes; fn gets the entries that are not
// merged into them yet too.
func (db *DB) viewIndexes(fn func(*bbolt.Tx, *indexBuffer) error) error {
	return db.withBolt(func(b *bbolt.DB, r *indexBuffer) error {
		if err := r.rLockLoaded(); err != nil {
			return err
		}
		defer r.mu.RUnlock()
		return viewBolt(b, func(tx *bbolt.Tx) error { return fn(tx, r) })
	})
}

// withBolt calls fn with the open file. If fn returns ErrDamaged, the database is broken.
func (db *DB) withBolt(fn func(*bbolt.DB, *indexBuffer) error) error {
	db.mu.RLock()
	b, broken := db.bolt, db.broken
	err := ErrDamaged
	switch {
	case db.full:
		err = ErrFull
	case b != nil && !broken:
		err = fn(b, db.buffer)
	}
	db.mu.RUnlock()
	if errors.Is(err, ErrDamaged) {
		db.markBroken(b, err)
	}
	return err
}

// markBroken marks the database as broken, or as full if that is the error, unless b has
// been replaced meanwhile.
func (db *DB) markBroken(b *bbolt.DB, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	var full *fullError
	switch {
	case db.bolt != b:
	case errors.As(err, &full):
		db.full, db.failedTx = true, full.tx
	case errors.Is(err, ErrFull): // it is so already
	default:
		db.broken = true
		db.bboltLocked = db.bboltLocked || errors.Is(err, errPanic)
	}
}

// viewBolt runs a read transaction on a file.
func viewBolt(b *bbolt.DB, fn func(*bbolt.Tx) error) (err error) {
	defer recoverFault(&err)()
	return b.View(fn)
}

// update runs a write transaction, which stores unsaved traffic too. After any error the
// database is broken, because the failed transaction may stay visible.
func (db *DB) update(fn func(*bbolt.Tx) error) error {
	db.mu.RLock()
	b, broken := db.bolt, db.broken
	err := ErrDamaged
	switch {
	case db.full:
		err = ErrFull
	case b != nil && !broken:
		done := func(error) {}
		err = updateBolt(b, func(tx *bbolt.Tx) (err error) {
			if err = fn(tx); err == nil {
				done, err = db.storeTraffic(tx)
			}
			return err
		})
		done(err)
	}
	db.mu.RUnlock()
	if err != nil {
		db.markBroken(b, err)
		err = damagedUnlessFull(err)
	}
	return err
}

// updateBolt runs a write transaction on a file. The error wraps ErrFull if its disk is
// full.
func updateBolt(b *bbolt.DB, fn func(*bbolt.Tx) error) (err error) {
	defer recoverFault(&err)()
	number := 0
	err = b.Update(func(tx *bbolt.Tx) error {
		number = tx.ID()
		return fn(tx)
	})
	if err != nil && isFull(err) {
		err = &fullError{number, err}
	}
	return err
}
