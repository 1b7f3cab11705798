package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// Change is a part of a mailbox's journal: its events from one position to
// another, both behind a seal.
type Change struct {
	Mailbox  archive.MailboxDir
	Events   []archive.Event
	From, To archive.Position
}

// errGap is returned when a change does not begin where the database stands.
var errGap = errors.New("the change does not follow what is folded in")

// maxApplyEvents is how many events one transaction folds in, whole changes apart.
const maxApplyEvents = 2000

// Apply folds changes in as CatchUp would from the journals, each in one transaction
// with others. After an error the database must be rebuilt.
func (db *DB) Apply(changes ...Change) error {
	db.applyMu.Lock()
	defer db.applyMu.Unlock()
	for len(changes) > 0 {
		n, events := 0, 0
		for n < len(changes) && (n == 0 || events+len(changes[n].Events) <= maxApplyEvents) {
			events += len(changes[n].Events)
			n++
		}
		if err := db.buffer.apply(db.update, changes[:n]...); err != nil {
			db.markBroken(db.buffer.bolt, err)
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// applyChange folds c in, and appends what its messages are found by to group.
func applyChange(tx *bbolt.Tx, c Change, group []byte) ([]byte, error) {
	box, info, err := openMailboxBucket(tx, c.Mailbox)
	if err != nil {
		return nil, err
	}
	if info.Applied != c.From {
		return nil, errGap
	}
	f := applier{bucket: box, uids: box.Bucket(uidsBucket), record: &info, entries: group}
	f.uids.FillPercent = 0.9 // UIDs ascend
	for _, e := range c.Events {
		if err := archive.Visit(e, &f); err != nil {
			return nil, err
		}
	}
	info.Applied = c.To
	return f.entries, putMailbox(box, info)
}

// openMailboxBucket returns a mailbox's bucket, made if it is new.
func openMailboxBucket(tx *bbolt.Tx, b archive.MailboxDir) (*bbolt.Bucket, Mailbox, error) {
	boxes := tx.Bucket(mailboxesBucket)
	if box := boxes.Bucket([]byte(b.Dir)); box != nil {
		info, err := getMailbox(box)
		return box, info, err
	}
	box, err := boxes.CreateBucket([]byte(b.Dir))
	if err != nil {
		return nil, Mailbox{}, err
	}
	if _, err := box.CreateBucket(uidsBucket); err != nil {
		return nil, Mailbox{}, err
	}
	numbers := tx.Bucket(directoriesBucket)
	n, err := numbers.NextSequence()
	if err != nil {
		return nil, Mailbox{}, err
	}
	return box, Mailbox{Account: b.Account, DirID: n}, numbers.Put(binary.AppendUvarint(nil, n), []byte(b.Dir))
}

// applier folds events into one mailbox's buckets.
type applier struct {
	bucket, uids *bbolt.Bucket
	record       *Mailbox
	entries      []byte // entries of the indexes
}

// VisitAdded implements archive.Visitor.
func (f *applier) VisitAdded(e archive.Event) error {
	if err := f.putUID(e.UID, archivedKind, strings.Join(e.Flags, " ")); err != nil {
		return err
	}
	f.indexMessage(e)
	if e.Expected != (archive.Sum{}) {
		f.record.Verified++
		f.record.Mistrusted = f.record.Mistrusted || e.Expected != e.Sum
	}
	return nil
}

// VisitFlags implements archive.Visitor.
func (f *applier) VisitFlags(e archive.Event) error {
	if v := f.uids.Get(uidKey(e.UID)); v != nil && v[0] == archivedKind {
		return f.putUID(e.UID, archivedKind, strings.Join(e.Flags, " "))
	}
	return nil
}

// VisitFailed implements archive.Visitor.
func (f *applier) VisitFailed(e archive.Event) error {
	if v := f.uids.Get(uidKey(e.UID)); v == nil || v[0] != archivedKind {
		return f.putUID(e.UID, failedKind, e.Reason)
	}
	return nil
}

// VisitVanished implements archive.Visitor.
func (f *applier) VisitVanished(archive.Event) error {
	f.record.Vanished = true
	return nil
}

// VisitUnknown implements archive.Visitor.
func (f *applier) VisitUnknown(archive.Event) error {
	f.record.Newer = true
	return nil
}

// VisitOpened implements archive.Visitor.
func (f *applier) VisitOpened(e archive.Event) error {
	if f.record.Journal == "" {
		f.record.Journal = e.Journal
	}
	if old := f.record.UIDValidity; old != 0 && !slices.Contains(f.record.PastUIDValidities, old) {
		f.record.PastUIDValidities = append(f.record.PastUIDValidities, old)
	}
	f.record.Name, f.record.UIDValidity, f.record.Vanished = e.Name, e.UIDValidity, false
	f.record.Archived, f.record.Failed, f.record.Gone, f.record.UIDChecksum = 0, 0, 0, 0
	f.record.Verified, f.record.Mistrusted = 0, false
	f.record.Newer = f.record.Newer || e.V > archive.FormatVersion
	f.record.Cursor = Cursor{}
	if err := f.bucket.DeleteBucket(uidsBucket); err != nil {
		return err
	}
	uids, err := f.bucket.CreateBucket(uidsBucket)
	if err == nil {
		uids.FillPercent = 0.9
		f.uids = uids
	}
	return err
}

// indexMessage notes what the message is found by: its sum, its size and date.
func (f *applier) indexMessage(e archive.Event) {
	where := append(binary.AppendUvarint(nil, f.record.DirID), e.Path...)
	f.entries = (&entry{"", e.Sum[:16], where}).appendTo(f.entries)
	if known, ok := f.candidateEntry(e); ok {
		f.entries = known.appendTo(f.entries)
	}
}

// putUID puts a UID's value and keeps the counts.
func (f *applier) putUID(u uint32, kind byte, rest string) error {
	key := uidKey(u)
	if old := f.uids.Get(key); old != nil {
		*f.counter(old[0])--
		f.record.UIDChecksum ^= hashUID(key, old)
	}
	*f.counter(kind)++
	value := append([]byte{kind}, rest...)
	f.record.UIDChecksum ^= hashUID(key, value)
	return f.uids.Put(key, value)
}

// hashUID is FNV-1a of a UID's entry.
func hashUID(key, value []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	h.Write(value)
	return h.Sum64()
}

func (f *applier) counter(kind byte) *int {
	switch kind {
	case failedKind:
		return &f.record.Failed
	case goneKind:
		return &f.record.Gone
	}
	return &f.record.Archived
}

// VisitGone implements archive.Visitor: it marks archived UIDs as gone and deletes
// failed ones. It walks the UIDs that are stored, because the set may span 32 bits.
func (f *applier) VisitGone(e archive.Event) error {
	for r := range e.UIDs.Ranges() {
		var marked, forgotten [][]byte
		c := f.uids.Cursor()
		for k, v := c.Seek(uidKey(r.First)); k != nil && binary.BigEndian.Uint32(k) <= r.Last; k, v = c.Next() {
			switch v[0] {
			case archivedKind:
				marked = append(marked, slices.Clone(k))
			case failedKind:
				forgotten = append(forgotten, slices.Clone(k))
			}
		}
		for _, k := range marked {
			if err := f.putUID(binary.BigEndian.Uint32(k), goneKind, ""); err != nil {
				return err
			}
		}
		for _, k := range forgotten {
			f.record.Failed--
			f.record.UIDChecksum ^= hashUID(k, f.uids.Get(k))
			if err := f.uids.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// PathOf returns where, relative to the archive, a message with that SHA-256
// lies. It is found by half of the sum: the caller reads the file before it
// relies on it.
func (db *DB) PathOf(s archive.Sum) (file string, ok bool) {
	// No answer costs disk space only, so an error is none.
	_ = db.viewIndexes(func(tx *bbolt.Tx, r *indexBuffer) error {
		where := tx.Bucket(sumsBucket).Get(s[:16])
		for e := range r.withPrefix("", s[:sumLength]) {
			if bytes.Equal(e.key, s[:16]) {
				where = e.value
				break
			}
		}
		if where != nil {
			file, ok = filePath(tx.Bucket(directoriesBucket), where)
		}
		return nil
	})
	return file, ok
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
