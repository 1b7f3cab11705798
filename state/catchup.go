package state

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
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
	if err := db.w.Stopped(); err != nil {
		return nil, err
	}
	dirs, err := db.w.Mailboxes("")
	if err != nil {
		return nil, err
	}
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	db.mu.RLock()
	bolt, r := db.bolt, db.buffer
	notes, err = db.missing(bolt, dirs)
	for _, b := range dirs {
		if err != nil {
			break
		}
		var more []string
		more, err = db.catchUp(r, b)
		notes = append(notes, more...)
	}
	db.mu.RUnlock()
	if errors.Is(err, ErrDamaged) || errors.Is(err, ErrFull) {
		db.markBroken(bolt, err)
	}
	if err == nil && db.mark != db.w.CheckpointsMark() {
		err = db.LearnCheckpoints()
	}
	return notes, err
}

// missing has the writer compare the mailboxes that the database or the checkpoints know
// and that have no journal, of which dirs are those that have one. It deletes the parts of
// those that their owner has forgotten. The notes say which are lost.
func (db *DB) missing(bolt *bbolt.DB, dirs []archive.MailboxDir) (notes []string, err error) {
	existing := map[string]bool{}
	for _, b := range dirs {
		existing[b.Dir] = true
	}
	lost, err := db.recordsWithout(bolt, existing)
	if err != nil {
		return nil, err
	}
	for _, b := range db.w.CheckpointedMailboxes() {
		if _, ok := lost[b]; !ok && !existing[b.Dir] {
			lost[b] = archive.Checkpoint{}
		}
	}
	for _, b := range slices.SortedFunc(maps.Keys(lost), func(x, y archive.MailboxDir) int { return cmp.Compare(x.Dir, y.Dir) }) {
		if db.w.IsVoid(b.Dir, db.mark) || lost[b].Offset == 0 {
			if err := deleteMailbox(bolt, b); err != nil {
				return notes, err
			}
			lost[b] = archive.Checkpoint{}
		}
		err := db.w.CheckJournal(b, lost[b])
		if err != nil && !errors.Is(err, archive.ErrLost) {
			return notes, err
		}
		if err != nil {
			notes = append(notes, err.Error())
		}
	}
	return notes, nil
}

// recordsWithout returns what is applied of the journals of mailboxes that are not in
// existing.
func (db *DB) recordsWithout(bolt *bbolt.DB, existing map[string]bool) (map[archive.MailboxDir]archive.Checkpoint, error) {
	found := map[archive.MailboxDir]archive.Checkpoint{}
	err := viewBolt(bolt, func(tx *bbolt.Tx) error {
		buckets := tx.Bucket(mailboxesBucket)
		return buckets.ForEachBucket(func(dir []byte) error {
			if existing[string(dir)] {
				return nil
			}
			record, err := getMailbox(buckets.Bucket(dir))
			found[archive.MailboxDir{Account: record.Account, Dir: string(dir)}] = archive.Checkpoint{Journal: record.Journal, Position: record.Applied}
			return err
		})
	})
	return found, err
}

// deleteMailbox deletes the part of a mailbox, if there is one.
func deleteMailbox(bolt *bbolt.DB, b archive.MailboxDir) error {
	err := updateBolt(bolt, func(tx *bbolt.Tx) error {
		if buckets := tx.Bucket(mailboxesBucket); buckets.Bucket([]byte(b.Dir)) != nil {
			return buckets.DeleteBucket([]byte(b.Dir))
		}
		return nil
	})
	if err != nil {
		return damagedUnlessFull(err)
	}
	return nil
}

// maxReplayEvents is the most events of one transaction when a journal is applied from
// its start.
const maxReplayEvents = 10000

// catchUp applies what the journal of b has after the position that is applied. If the
// journal is not, or no longer, what it was, that is a loss: what the database knows
// stays until the owner has decided, and a note says so. If the checkpoints have a later
// word on the mailbox, its part is made anew. A corrupt journal is applied up to its last
// good seal, and a note says where it is corrupt.
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
	if known && (record.Applied.Offset == 0 || db.w.IsVoid(b.Dir, db.mark)) { // not applied to its end, or of another journal
		if err := deleteMailbox(bolt, b); err != nil {
			return nil, err
		}
		record = Mailbox{}
	}
	err = db.w.CheckJournal(b, archive.Checkpoint{Journal: record.Journal, Position: record.Applied})
	switch {
	case errors.Is(err, archive.ErrLost):
		notes = append(notes, err.Error())
		if record.Applied.Offset > 0 {
			return notes, nil
		}
	case err != nil && !errors.Is(err, archive.ErrCorrupt):
		return nil, err
	case err == nil && db.w.CheckedEnd(b) == record.Applied:
		return nil, nil
	}
	more, end, err := replay(r, db.w, b, record.Applied)
	if lost := db.w.Distrust(b, end); err == nil && lost != nil {
		more = append(more, lost.Error())
	}
	return append(notes, more...), err
}

// replay applies the journal of b from a position on, and returns the position after its
// last good commit.
func replay(r *indexBuffer, w *archive.Writer, b archive.MailboxDir, from archive.Position) (notes []string, end archive.Position, err error) {
	c := Change{Mailbox: b, From: from}
	var stamp archive.Stamp
	if from.Offset == 0 { // else the part before is not read
		if stamp, err = w.JournalStamp(b); errors.Is(err, fs.ErrNotExist) {
			return nil, from, nil
		} else if err != nil {
			return nil, from, err
		}
	}
	flush := func(to archive.Position) error {
		c.To = to
		if err := r.apply(r.update, c); err != nil {
			return damagedUnlessFull(err)
		}
		c = Change{Mailbox: b, From: to, Events: c.Events[:0]}
		return nil
	}
	// A journal that is applied from its start is applied in parts. Only the last part
	// moves the applied position from the start to the end: after an interruption
	// catchUp starts again.
	end, err = w.ReplayChecked(b, from, func(e archive.Event) error {
		c.Events = append(c.Events, e)
		if from.Offset > 0 || len(c.Events) < maxReplayEvents {
			return nil
		}
		return flush(from)
	})
	if errors.Is(err, archive.ErrCorrupt) {
		notes, stamp = append(notes, err.Error()), archive.Stamp{}
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, from, nil
	} else if err != nil {
		return notes, from, err
	}
	if end == c.From {
		return notes, end, nil // an interrupted write, and nothing else
	}
	c.Stamp = stamp
	return notes, end, flush(end)
}
