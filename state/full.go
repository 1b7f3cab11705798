package state

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
)

// ErrFull is returned when the disk of the database is full. The database is whole: it
// lacks what the journals have more.
var ErrFull = errors.New("the disk of the state database is full: free some space there and run archiverd again; the archive is not damaged, and what was archived stays so")

// fullError is an ErrFull of a write transaction.
type fullError struct {
	tx  int // the transaction's number
	err error
}

func (e *fullError) Error() string   { return fmt.Sprintf("%v (%v)", ErrFull, e.err) }
func (e *fullError) Unwrap() []error { return []error{ErrFull, e.err} }

// isFull reports whether an error is that of a full disk or quota. bbolt returns some as
// text.
func isFull(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

// damagedUnlessFull wraps ErrDamaged around the error of a write transaction, if it is
// not an ErrFull.
func damagedUnlessFull(err error) error {
	if errors.Is(err, ErrFull) || errors.Is(err, ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}

// IsFull reports whether the database is not in use because its disk was full.
func (db *DB) IsFull() bool {
	db.mu.RLock()
	defer db.mu.RUnlock()
	return db.full
}

// Resume opens a database that IsFull again and applies what the journals have more. The
// error wraps ErrFull if there is still no space, and ErrDamaged if the database has to
// be rebuilt. The notes are for people. It does nothing if the database is not full.
func (db *DB) Resume() (notes []string, err error) {
	if !db.IsFull() {
		return nil, nil
	}
	if err := db.reopen(); err != nil {
		return nil, err
	}
	return db.catchUpAll()
}

// reopen opens the file of a full database again: bbolt may show a transaction that
// failed, and the file must not. If it does, the last page was written and may not be
// durable: that is damage.
func (db *DB) reopen() error {
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.full = false
	err := db.close()
	if err == nil {
		db.bolt, err = openBolt(db.path, false)
	}
	if err == nil {
		err = viewBolt(db.bolt, func(tx *bbolt.Tx) error {
			if tx.ID() >= db.failedTx {
				return errors.New("a write that failed is visible")
			}
			return nil
		})
	}
	if err != nil {
		db.broken = true
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	db.buffer = newIndexBuffer(db.bolt)
	db.markTrafficUnsaved()
	return nil
}

// fullOrSame wraps ErrFull around an error if it is that of a full disk.
func fullOrSame(err error) error {
	if err == nil || errors.Is(err, ErrFull) || !isFull(err) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}
