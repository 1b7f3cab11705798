package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/durable"
)

// Rebuild makes the database from the journals alone. It writes another file and renames
// it, so that a crash leaves the old database or none. The notes are for people. After
// an error the database is broken.
func (db *DB) Rebuild() (notes []string, err error) {
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.close(); err != nil {
		notes = append(notes, fmt.Sprintf("closing the old state database: %v", err))
	}
	temp := db.path + ".new"
	err = checkReplaceable(temp)
	if err == nil {
		err = os.Remove(temp)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notes, fmt.Errorf("rebuild state database: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(db.path), 0o700); err != nil {
		return notes, fmt.Errorf("rebuild state database: %w", err)
	}
	fresh, err := bbolt.Open(temp, 0o600, &bbolt.Options{FreelistType: bbolt.FreelistMapType, OpenFile: createExclusively})
	if err != nil {
		return notes, fmt.Errorf("rebuild state database: %w", fullOrSame(errors.Join(err, removeLeftover(temp))))
	}
	notes, err = db.create(fresh, notes)
	err = errors.Join(err, fresh.Close())
	if err == nil {
		err = durable.Rename(temp, db.path) // bbolt has synced the file's octets
	}
	if err == nil {
		db.bolt, err = openBolt(db.path, false)
	}
	if err != nil {
		db.broken = true
		return notes, fmt.Errorf("rebuild state database: %w", fullOrSame(errors.Join(err, removeLeftover(temp))))
	}
	db.broken, db.full, db.rebuilt, db.buffer = false, false, true, newIndexBuffer(db.bolt)
	db.markTrafficUnsaved()
	return notes, nil
}

// removeLeftover removes half a database, which is of no use and takes space.
func removeLeftover(temp string) error {
	if err := os.Remove(temp); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// createExclusively is os.OpenFile for a file that does not exist.
func createExclusively(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return os.OpenFile(name, flag|os.O_CREATE|os.O_EXCL, perm)
}

// create makes the buckets of a new database and applies every journal. It returns notes
// with its own appended.
func (db *DB) create(fresh *bbolt.DB, notes []string) ([]string, error) {
	err := fresh.Update(func(tx *bbolt.Tx) error {
		for _, name := range topBuckets {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		m := tx.Bucket(metaBucket)
		return errors.Join(m.Put(schemaKey, []byte(schema)), m.Put(archiveKey, []byte(db.w.ID())))
	})
	if err != nil {
		return notes, err
	}
	if err := db.w.Stopped(); err != nil {
		return append(notes, err.Error()), nil // it stays empty until that is decided
	}
	dirs, err := db.w.Mailboxes("")
	if err != nil {
		return notes, err
	}
	db.mark = archive.CheckpointsMark{} // the new database knows nothing yet
	lost, err := db.missing(fresh, dirs)
	if notes = append(notes, lost...); err != nil {
		return notes, err
	}
	r := newIndexBuffer(fresh)
	for _, b := range dirs {
		note, err := db.catchUp(r, b)
		if err != nil {
			return notes, err
		}
		notes = append(notes, note...)
	}
	if err := r.merge(0, r.update); err != nil {
		return notes, err
	}
	return notes, fresh.Update(db.putMark)
}
