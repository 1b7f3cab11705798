package state

import (
	"encoding/binary"
	"errors"
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
