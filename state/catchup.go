package state

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// CatchUp brings the database up to the journals, and makes it anew where that
// shows that it is damaged. The notes are as OpenStale's.
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

// catchUpAll folds in what the journals of the whole archive have beyond what
// the database knows.
func (db *DB) catchUpAll() (notes []string, err error) {
	boxes, err := db.w.Mailboxes("")
	if err != nil {
		return nil, err
	}
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	db.mu.RLock()
	bolt, r := db.bolt, db.buffer
	notes, err = db.dropMissing(bolt, boxes)
	for _, b := range boxes {
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

// dropMissing drops what is known of mailboxes that have no journal any more: what
// they held is not in the archive.
func (db *DB) dropMissing(bolt *bbolt.DB, boxes []archive.MailboxDir) (notes []string, err error) {
	there := map[string]bool{}
	for _, b := range boxes {
		there[b.Dir] = true
	}
	var lost [][]byte
	err = viewBolt(bolt, func(tx *bbolt.Tx) error {
		return tx.Bucket(mailboxesBucket).ForEachBucket(func(dir []byte) error {
			if !there[string(dir)] {
				lost = append(lost, slices.Clone(dir))
			}
			return nil
		})
	})
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	for _, dir := range lost {
		notes = append(notes, fmt.Sprintf("mailbox %s: its journal is gone from the archive; its messages will be archived anew", dir))
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

// maxReplayEvents is how many events one transaction folds in where a journal is read
// from its start.
const maxReplayEvents = 10000

// catchUp folds in what the journal of b has behind what is applied. Where
// that is not a place in the journal (the archive was put back from a backup,
// or damaged) the mailbox's part of the index is dropped and filled again, and
// a note says so. A corrupt journal is folded in as far as its seals hold.
func (db *DB) catchUp(r *indexBuffer, b archive.MailboxDir) (notes []string, err error) {
	bolt := r.bolt
	var info Mailbox
	known := false
	err = viewBolt(bolt, func(tx *bbolt.Tx) error {
		if box := tx.Bucket(mailboxesBucket).Bucket([]byte(b.Dir)); box != nil {
			known = true
			info, err = getMailbox(box)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	at, size, err := db.w.HasPosition(b, info.Journal, info.Applied)
	if err != nil {
		return nil, err
	}
	if !at {
		notes = append(notes, fmt.Sprintf("mailbox %s: the journal is not the one that the state database knows (%d octets of it were folded in, it has %d): was the archive put back from a backup? Its index is made anew", b.Dir, info.Applied.Offset, size))
		info = Mailbox{}
	}
	if known && info.Applied.Offset == 0 { // to be dropped, or a refill that did not end
		if err := updateBolt(bolt, func(tx *bbolt.Tx) error { return tx.Bucket(mailboxesBucket).DeleteBucket([]byte(b.Dir)) }); err != nil {
			return notes, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
	}
	if size == info.Applied.Offset {
		return notes, nil
	}
	if err := db.w.EnsureDurable(b, info.Applied); err != nil && !errors.Is(err, archive.ErrCorrupt) {
		return notes, err
	}
	more, err := replay(r, db.w, b, info.Applied)
	return append(notes, more...), err
}

// replay folds the journal of b in, from a position on.
func replay(r *indexBuffer, w *archive.Writer, b archive.MailboxDir, from archive.Position) (notes []string, err error) {
	c := Change{Mailbox: b, From: from}
	flush := func(to archive.Position) error {
		c.To = to
		if err := r.apply(r.update, c); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		c = Change{Mailbox: b, From: to, Events: c.Events[:0]}
		return nil
	}
	// A whole journal is applied in parts, which carry the start's position and
	// only with the last the end's: what does not come to its end starts again.
	end, err := w.Replay(b, from, func(e archive.Event) error {
		c.Events = append(c.Events, e)
		if from.Offset > 0 || len(c.Events) < maxReplayEvents {
			return nil
		}
		return flush(from)
	})
	if errors.Is(err, archive.ErrCorrupt) {
		notes = append(notes, err.Error())
	} else if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return notes, err
	}
	if end == c.From {
		return notes, nil // an interrupted write, and nothing else
	}
	return notes, flush(end)
}
