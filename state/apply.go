package state

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// Change is a part of a mailbox's journal: the events between two positions.
type Change struct {
	Mailbox  archive.MailboxDir
	Events   []archive.Event
	From, To archive.Position
	Stamp    archive.Stamp // of the journal after To, if the part before is known to be whole
}

// Changes returns what committed batches have added to the journals, in their order:
// batches that were committed together are one change, because one seal covers them.
// Batches that failed are left out.
func Changes(batches []*archive.Batch) []Change {
	var list []Change
	for _, b := range batches {
		if b.Err != nil {
			continue
		}
		i := slices.IndexFunc(list, func(c Change) bool { return c.Mailbox == b.Mailbox().MailboxDir && c.To == b.To })
		if i >= 0 {
			list[i].Events = slices.Concat(list[i].Events, b.Events)
			continue
		}
		list = append(list, Change{b.Mailbox().MailboxDir, b.Events, b.From, b.To, b.Stamp})
	}
	return list
}

// errGap is returned when a change does not begin at the applied position.
var errGap = errors.New("the change does not begin at the applied position")

// maxApplyEvents is the most events of one transaction of Apply; a single change may
// have more.
const maxApplyEvents = 2000

// Apply applies changes that were committed to the archive, each in one transaction and
// several changes together. After an error the database is broken.
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

// applyChange applies c within a transaction. It appends the index entries of its
// messages to entries.
func applyChange(tx *bbolt.Tx, c Change, entries []byte) ([]byte, error) {
	bucket, record, err := openMailboxBucket(tx, c.Mailbox)
	if err != nil {
		return nil, err
	}
	if record.Applied != c.From {
		return nil, errGap
	}
	a := applier{bucket: bucket, uids: bucket.Bucket(uidsBucket), record: &record, entries: entries}
	a.uids.FillPercent = 0.9 // UIDs ascend
	for _, e := range c.Events {
		if err := archive.Visit(e, &a); err != nil {
			return nil, err
		}
	}
	record.Applied, record.Stamp = c.To, c.Stamp
	return a.entries, putMailbox(bucket, record)
}

// openMailboxBucket returns a mailbox's bucket and record. A new mailbox gets a bucket
// and a DirID.
func openMailboxBucket(tx *bbolt.Tx, b archive.MailboxDir) (*bbolt.Bucket, Mailbox, error) {
	buckets := tx.Bucket(mailboxesBucket)
	if bucket := buckets.Bucket([]byte(b.Dir)); bucket != nil {
		record, err := getMailbox(bucket)
		return bucket, record, err
	}
	bucket, err := buckets.CreateBucket([]byte(b.Dir))
	if err != nil {
		return nil, Mailbox{}, err
	}
	if _, err := bucket.CreateBucket(uidsBucket); err != nil {
		return nil, Mailbox{}, err
	}
	directories := tx.Bucket(directoriesBucket)
	n, err := directories.NextSequence()
	if err != nil {
		return nil, Mailbox{}, err
	}
	return bucket, Mailbox{Account: b.Account, DirID: n}, directories.Put(binary.AppendUvarint(nil, n), []byte(b.Dir))
}

// applier applies events to the buckets of one mailbox; it is an archive.Visitor.
type applier struct {
	bucket, uids *bbolt.Bucket
	record       *Mailbox
	entries      []byte // index entries of the messages, encoded
}

// VisitAdded implements archive.Visitor.
func (a *applier) VisitAdded(e archive.Event) error {
	if err := a.putUID(e.UID, archivedKind, traitsOf(e).encode(strings.Join(e.Flags, " "))); err != nil {
		return err
	}
	if err := a.applyAgain(e); err != nil {
		return err
	}
	a.indexMessage(e)
	if e.Expected != (archive.Sum{}) {
		a.record.Verified++
		a.record.Mistrusted = a.record.Mistrusted || e.Expected != e.Sum
	}
	return nil
}

// VisitFlags implements archive.Visitor.
func (a *applier) VisitFlags(e archive.Event) error {
	v := a.uids.Get(uidKey(e.UID))
	if v == nil || v[0] != archivedKind {
		return nil
	}
	traits, _, err := decodeTraits(v)
	if err != nil {
		return err
	}
	return a.putUID(e.UID, archivedKind, traits.encode(strings.Join(e.Flags, " ")))
}

// VisitFailed implements archive.Visitor.
func (a *applier) VisitFailed(e archive.Event) error {
	if v := a.uids.Get(uidKey(e.UID)); v == nil || v[0] != archivedKind {
		a.record.Forgetful = a.record.Forgetful || v != nil && v[0] == goneKind
		if err := a.applyAgain(e); err != nil {
			return err
		}
		return a.putUID(e.UID, failedKind, e.Reason)
	}
	return nil
}

// VisitVanished implements archive.Visitor.
func (a *applier) VisitVanished(archive.Event) error {
	a.record.Vanished = true
	return nil
}

// VisitUnknown implements archive.Visitor.
func (a *applier) VisitUnknown(archive.Event) error {
	a.record.Newer = true
	return nil
}

// VisitOpened implements archive.Visitor.
func (a *applier) VisitOpened(e archive.Event) error {
	if a.record.Journal == "" {
		a.record.Journal = e.Journal
	}
	a.record.endEpoch(a.maxUID())
	a.record.Name, a.record.UIDValidity, a.record.Vanished = e.Name, e.UIDValidity, false
	a.record.Server, a.record.User = e.Server, e.User
	a.record.Archived, a.record.Failed, a.record.Gone, a.record.UIDChecksum = 0, 0, 0, 0
	a.record.Verified, a.record.Mistrusted, a.record.Forgetful = 0, false, false
	a.record.Newer = a.record.Newer || e.V > archive.FormatVersion
	a.record.Cursor = Cursor{}
	if err := a.clearAgain(); err != nil {
		return err
	}
	if err := a.bucket.Delete(excludedKey); err != nil {
		return err
	}
	if err := a.bucket.DeleteBucket(uidsBucket); err != nil {
		return err
	}
	uids, err := a.bucket.CreateBucket(uidsBucket)
	if err == nil {
		uids.FillPercent = 0.9
		a.uids = uids
	}
	return err
}

// maxUID is the highest UID of the current epoch; if archived UIDs may be forgotten, the
// highest of all.
func (a *applier) maxUID() uint32 {
	if a.record.Forgetful {
		return math.MaxUint32
	}
	if k, _ := a.uids.Cursor().Last(); k != nil {
		return binary.BigEndian.Uint32(k)
	}
	return 0
}

// indexMessage adds the index entries of a message: by its sum, and by size and date.
// Octets that are not as many as announced are nothing that another message may be
// matched to.
func (a *applier) indexMessage(e archive.Event) {
	where := append(binary.AppendUvarint(nil, a.record.DirID), e.Path...)
	a.entries = (&entry{"", e.Sum[:16], where}).appendTo(a.entries)
	if known, ok := a.candidateEntry(e); ok && e.Announced == nil {
		a.entries = known.appendTo(a.entries)
	}
}

// putUID stores the value of a UID, and updates counts and checksum.
func (a *applier) putUID(u uint32, kind byte, rest string) error {
	key := uidKey(u)
	if old := a.uids.Get(key); old != nil {
		*a.counter(old[0])--
		a.record.UIDChecksum ^= hashUID(key, old)
	}
	*a.counter(kind)++
	value := append([]byte{kind}, rest...)
	a.record.UIDChecksum ^= hashUID(key, value)
	return a.uids.Put(key, value)
}

// counter is the record's count of UIDs of a kind.
func (a *applier) counter(kind byte) *int {
	switch kind {
	case failedKind:
		return &a.record.Failed
	case goneKind:
		return &a.record.Gone
	}
	return &a.record.Archived
}

// VisitGone implements archive.Visitor: it marks archived UIDs as gone and deletes
// failed ones. It walks the UIDs that are stored, because the set may span 32 bits.
func (a *applier) VisitGone(e archive.Event) error {
	for r := range e.UIDs.Ranges() {
		var gone, failed [][]byte
		c := a.uids.Cursor()
		for k, v := c.Seek(uidKey(r.First)); k != nil && binary.BigEndian.Uint32(k) <= r.Last; k, v = c.Next() {
			switch v[0] {
			case archivedKind:
				gone = append(gone, slices.Clone(k))
			case failedKind:
				failed = append(failed, slices.Clone(k))
			}
		}
		for _, k := range slices.Concat(gone, failed) {
			if err := a.endAgain(binary.BigEndian.Uint32(k)); err != nil {
				return err
			}
		}
		for _, k := range gone {
			if err := a.putUID(binary.BigEndian.Uint32(k), goneKind, ""); err != nil {
				return err
			}
		}
		for _, k := range failed {
			a.record.Failed--
			a.record.UIDChecksum ^= hashUID(k, a.uids.Get(k))
			if err := a.uids.Delete(k); err != nil {
				return err
			}
		}
	}
	return nil
}
