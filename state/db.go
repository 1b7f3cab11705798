// Package state keeps the state database: an index over an archive's journals
// that answers the one question of a sync, which UIDs a mailbox has that the
// archive has not.
//
// Nothing in it is true but what a journal says. Each mailbox's part holds how
// much of the journal is folded in, in the same transaction as what that much
// says, so that committing, recovering after a crash and rebuilding after a
// loss are one function: [DB.CatchUp], from there or from the start. Beside
// that stand a cursor a mailbox (what the server said when the mailbox was last
// complete), the last runs of each account and what it received in the last
// day, which a loss of the database costs: the next run then looks at every
// mailbox, and downloads nothing; a daily limit may be passed once.
//
// A bbolt transaction that failed can stay visible, and a damaged file can
// fault in the middle of a read; so after any error of bbolt's the database is
// not used any more until [DB.Rebuild] has made it anew.
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
)

var (
	// ErrDamaged is returned when the database can't be read or written and
	// must be rebuilt.
	ErrDamaged = errors.New("the state database is damaged; it is made anew from the journals at the next start, or by `archiverd rebuild`")
	// ErrLocked is returned when another process has the database open.
	ErrLocked = errors.New("another archiverd has the state database open")

	errPanic = errors.New("bbolt panicked")
)

// DB is the state database of one archive, opened for writing. Its methods may
// be called from several goroutines. Close releases it.
type DB struct {
	path string
	w    *archive.Writer

	applyMu gosync.Mutex // held while journals are folded in; before mu

	mu          gosync.RWMutex // held for writing while the file is swapped
	bolt        *bbolt.DB
	buffer      *indexBuffer // of bolt
	broken      bool
	bboltLocked bool // a panic left bbolt's locks held: the file can't be closed
	rebuilt     bool // Rebuild has made the file since OpenStale was called

	trafficMu gosync.Mutex // of traffic
	traffic   map[string]*accountTraffic
}

// ArchiveID is the id of the archive that the database at path is of, empty if
// there is none that can be read.
func ArchiveID(path string) string {
	r, err := OpenReader(path)
	if err != nil {
		return ""
	}
	defer r.Close()
	id := ""
	_ = viewBolt(r.bolt, func(tx *bbolt.Tx) error { // unreadable: no id is known
		if b := tx.Bucket(metaBucket); b != nil {
			id = string(b.Get(archiveKey))
		}
		return nil
	})
	return id
}

// OpenStale opens the database at path for the archive of w. It does not read
// what the journals have since: call CatchUp before anything but Runs and Traffic.
// A database that is missing, damaged or of another layout is rebuilt. The error
// is ErrLocked while another process has it open. The notes are for people: what
// was rebuilt, and why.
func OpenStale(path string, w *archive.Writer) (db *DB, notes []string, err error) {
	db = &DB{path: path, w: w}
	db.bolt, err = openBolt(path, false)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if boxes, err := w.Mailboxes(""); err == nil && len(boxes) == 0 {
			break // a new archive
		}
		notes = append(notes, fmt.Sprintf("no state database at %s: making it from the journals", path))
	case errors.Is(err, ErrLocked):
		return nil, nil, err
	case err != nil:
		notes = append(notes, fmt.Sprintf("state database %s can't be used (%v): making it anew from the journals", path, err))
	default:
		if err := db.checkLayout(); err != nil {
			notes = append(notes, fmt.Sprintf("state database %s can't be used (%v): making it anew from the journals", path, err))
			if err := db.bolt.Close(); err != nil {
				return nil, nil, fmt.Errorf("close state database: %w", err)
			}
			db.bolt = nil
		}
	}
	if db.bolt == nil {
		more, err := db.Rebuild()
		return db, append(notes, more...), err
	}
	db.buffer = newIndexBuffer(db.bolt)
	return db, notes, nil
}

// initialMapSize is what the file grows to at once, in octets that cost no disk
// space: bbolt would double it from 32 KiB, with an fsync each time.
const initialMapSize = 4 << 20

func openBolt(path string, readOnly bool) (b *bbolt.DB, err error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	defer recoverFault(&err)()
	b, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 200 * time.Millisecond, FreelistType: bbolt.FreelistMapType, ReadOnly: readOnly, InitialMmapSize: initialMapSize})
	if errors.Is(err, bberrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	return b, err
}

// recoverFault turns a fault or panic in the code after it, from a damaged file in
// memory, into ErrDamaged. Call its result deferred.
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

func (db *DB) close() error {
	b, stuck := db.bolt, db.bboltLocked
	db.bolt, db.bboltLocked = nil, false
	if b == nil || stuck {
		return nil // the process's end closes a stuck one; a new file takes its place
	}
	return b.Close()
}

// Broken says that the database must be rebuilt before it serves again.
func (db *DB) Broken() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.broken || db.bolt == nil
}

// IsRebuilt reports whether the database has been rebuilt since it was opened.
func (db *DB) IsRebuilt() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.rebuilt
}

// view runs a read transaction. After ErrDamaged the database is broken.
func (db *DB) view(fn func(*bbolt.Tx) error) error {
	return db.withBolt(func(b *bbolt.DB, _ *indexBuffer) error { return viewBolt(b, fn) })
}

// viewIndexes runs a read transaction that looks into the indexes, and at what they have
// yet to take in.
func (db *DB) viewIndexes(fn func(*bbolt.Tx, *indexBuffer) error) error {
	return db.withBolt(func(b *bbolt.DB, r *indexBuffer) error {
		if err := r.rLockLoaded(); err != nil {
			return err
		}
		defer r.mu.RUnlock()
		return viewBolt(b, func(tx *bbolt.Tx) error { return fn(tx, r) })
	})
}

// withBolt has fn read the open file. After ErrDamaged the database is broken.
func (db *DB) withBolt(fn func(*bbolt.DB, *indexBuffer) error) error {
	db.mu.RLock()
	b, broken := db.bolt, db.broken
	err := ErrDamaged
	if b != nil && !broken {
		err = fn(b, db.buffer)
	}
	db.mu.RUnlock()
	if errors.Is(err, ErrDamaged) {
		db.markBroken(b, err)
	}
	return err
}

// markBroken marks the database as broken, unless it was made anew since.
func (db *DB) markBroken(b *bbolt.DB, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.bolt == b {
		db.broken = true
		db.bboltLocked = db.bboltLocked || errors.Is(err, errPanic)
	}
}

func viewBolt(b *bbolt.DB, fn func(*bbolt.Tx) error) (err error) {
	defer recoverFault(&err)()
	return b.View(fn)
}

// update runs a write transaction, which takes what was spent along. After any
// error the database is broken: what failed may be visible all the same.
func (db *DB) update(fn func(*bbolt.Tx) error) error {
	db.mu.RLock()
	b, broken := db.bolt, db.broken
	err := ErrDamaged
	if b != nil && !broken {
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
		if !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	return err
}

func updateBolt(b *bbolt.DB, fn func(*bbolt.Tx) error) (err error) {
	defer recoverFault(&err)()
	return b.Update(fn)
}
