package state

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// CatchUp applies what the journals have more than the database, and rebuilds the
// database if it turns out to be damaged. The notes are for people.
func (db *DB) CatchUp() (notes []string, err error) {
	notes, err = db.catchUpAll()
	if errors.Is(err, ErrDamaged) {
		notes = append(notes, fmt.Sprintf("state database %s: %v", db.path, err))
		var more []string
		more, err = db.Rebuild()
		notes = append(notes, more...)
	}
	return notes, err
}

// catchUpAll is CatchUp without rebuilding.
func (db *DB) catchUpAll() (notes []string, err error) {
	dirs, err := db.w.Mailboxes("")
	if err != nil {
		return nil, err
	}
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	db.mu.RLock()
	bolt, r := db.bolt, db.buffer
	notes, err = db.dropMissing(bolt, dirs)
	for _, b := range dirs {
		if err != nil {
			break
		}
		var more []string
		more, err = db.catchUp(r, b)
		notes = append(notes, more...)
	}
	db.mu.RUnlock()
	if errors.Is(err, ErrDamaged) {
		db.markBroken(bolt, err)
	}
	return notes, err
}

// dropMissing deletes the parts of mailboxes whose journal is gone: their messages are
// not in the archive.
func (db *DB) dropMissing(bolt *bbolt.DB, dirs []archive.MailboxDir) (notes []string, err error) {
	existing := map[string]bool{}
	for _, b := range dirs {
		existing[b.Dir] = true
	}
	var lost [][]byte
	err = viewBolt(bolt, func(tx *bbolt.Tx) error {
		return tx.Bucket(mailboxesBucket).ForEachBucket(func(dir []byte) error {
			if !existing[string(dir)] {
				lost = append(lost, slices.Clone(dir))
			}
			return nil
		})
	})
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	for _, dir := range lost {
		notes = append(notes, fmt.Sprintf("mailbox %s: its journal is gone from the archive; its messages will be archived again", dir))
	}
	err = updateBolt(bolt, func(tx *bbolt.Tx) error {
		for _, dir := range lost {
			if err := tx.Bucket(mailboxesBucket).DeleteBucket(dir); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		return nil
	})
	return notes, err
}

// maxReplayEvents is the most events of one transaction when a journal is applied from
// its start.
const maxReplayEvents = 10000

// catchUp applies what the journal of b has after the position that is applied. If that
// is no position of the journal (the archive was restored from a backup, or is damaged),
// the mailbox's part is deleted and rebuilt, and a note says so. A corrupt journal is
// applied up to its last good seal, and a note says where it is corrupt.
func (db *DB) catchUp(r *indexBuffer, b archive.MailboxDir) (notes []string, err error) {
	bolt := r.bolt
	var record Mailbox
	known := false
	err = viewBolt(bolt, func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(b.Dir)); bucket != nil {
			known = true
			record, err = getMailbox(bucket)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	at, size, err := db.w.HasPosition(b, record.Journal, record.Applied)
	if errors.Is(err, archive.ErrCorrupt) { // no file at all: the mailbox stays as it was known
		return []string{err.Error()}, nil
	}
	if err != nil {
		return nil, err
	}
	if !at {
		notes = append(notes, fmt.Sprintf("mailbox %s: the journal is not the one that the state database knows (%d octets of it were applied, it has %d): was the archive put back from a backup? Its part of the database is rebuilt", b.Dir, record.Applied.Offset, size))
		record = Mailbox{}
	}
	if known && record.Applied.Offset == 0 { // of another journal, or not applied to its end
		if err := updateBolt(bolt, func(tx *bbolt.Tx) error { return tx.Bucket(mailboxesBucket).DeleteBucket([]byte(b.Dir)) }); err != nil {
			return notes, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	err = db.w.Settle(b, archive.Checkpoint{Journal: record.Journal, Position: record.Applied})
	if err != nil && !errors.Is(err, archive.ErrCorrupt) && !errors.Is(err, archive.ErrLost) {
		return notes, err
	}
	if size == record.Applied.Offset {
		return notes, nil
	}
	more, err := replay(r, db.w, b, record.Applied)
	return append(notes, more...), err
}

// replay applies the journal of b from a position on.
func replay(r *indexBuffer, w *archive.Writer, b archive.MailboxDir, from archive.Position) (notes []string, err error) {
	c := Change{Mailbox: b, From: from}
	var stamp archive.Stamp
	if from.Offset == 0 { // else the part before is not read
		if stamp, err = w.JournalStamp(b); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		} else if err != nil {
			return nil, err
		}
	}
	flush := func(to archive.Position) error {
		c.To = to
		if err := r.apply(r.update, c); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		c = Change{Mailbox: b, From: to, Events: c.Events[:0]}
		return nil
	}
	// A journal that is applied from its start is applied in parts. Only the last part
	// moves the applied position from the start to the end: after an interruption
	// catchUp starts again.
	end, err := w.Replay(b, from, func(e archive.Event) error {
		c.Events = append(c.Events, e)
		if from.Offset > 0 || len(c.Events) < maxReplayEvents {
			return nil
		}
		return flush(from)
	})
	if errors.Is(err, archive.ErrCorrupt) {
		notes, stamp = append(notes, err.Error()), archive.Stamp{}
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return notes, err
	}
	if end == c.From {
		return notes, nil // an interrupted write, and nothing else
	}
	c.Stamp = stamp
	return notes, flush(end)
}
