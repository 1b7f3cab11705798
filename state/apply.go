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

// applyEvents is how many events one transaction folds in, whole changes apart.
const applyEvents = 2000

// Apply folds changes in as CatchUp would from the journals, each in one transaction
// with others. After an error the database must be rebuilt.
func (db *DB) Apply(changes ...Change) error {
	db.folding.Lock()
	defer db.folding.Unlock()
	for len(changes) > 0 {
		n, events := 0, 0
		for n < len(changes) && (n == 0 || events+len(changes[n].Events) <= applyEvents) {
			events += len(changes[n].Events)
			n++
		}
		if err := db.recent.fold(db.update, changes[:n]...); err != nil {
			db.failed(db.recent.bolt, err)
			return err
		}
		changes = changes[n:]
	}
	return nil
}

// apply folds c in, and appends what its messages are found by to group.
func apply(tx *bbolt.Tx, c Change, group []byte) ([]byte, error) {
	box, info, err := openBox(tx, c.Mailbox)
	if err != nil {
		return nil, err
	}
	if info.Applied != c.From {
		return nil, errGap
	}
	f := folder{box: box, uids: box.Bucket(uidsBucket), info: &info, group: group}
	f.uids.FillPercent = 0.9 // UIDs ascend
	for _, e := range c.Events {
		if err := archive.Visit(e, &f); err != nil {
			return nil, err
		}
	}
	info.Applied = c.To
	return f.group, putMailbox(box, info)
}

// openBox returns a mailbox's bucket, made if it is new.
func openBox(tx *bbolt.Tx, b archive.MailboxDir) (*bbolt.Bucket, Mailbox, error) {
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

// folder folds events into one mailbox's buckets.
type folder struct {
	box, uids *bbolt.Bucket
	info      *Mailbox
	group     []byte // entries of the indexes
}

// VisitAdded implements archive.Visitor.
func (f *folder) VisitAdded(e archive.Event) error {
	if err := f.set(e.UID, archivedKind, strings.Join(e.Flags, " ")); err != nil {
		return err
	}
	f.index(e)
	if e.Expected != (archive.Sum{}) {
		f.info.Verified++
		f.info.Mistrusted = f.info.Mistrusted || e.Expected != e.Sum
	}
	return nil
}

// VisitFlags implements archive.Visitor.
func (f *folder) VisitFlags(e archive.Event) error {
	if v := f.uids.Get(uidKey(e.UID)); v != nil && v[0] == archivedKind {
		return f.set(e.UID, archivedKind, strings.Join(e.Flags, " "))
	}
	return nil
}

// VisitFailed implements archive.Visitor.
func (f *folder) VisitFailed(e archive.Event) error {
	if v := f.uids.Get(uidKey(e.UID)); v == nil || v[0] != archivedKind {
		return f.set(e.UID, failedKind, e.Reason)
	}
	return nil
}

// VisitVanished implements archive.Visitor.
func (f *folder) VisitVanished(archive.Event) error {
	f.info.Vanished = true
	return nil
}

// VisitUnknown implements archive.Visitor.
func (f *folder) VisitUnknown(archive.Event) error {
	f.info.Newer = true
	return nil
}

// VisitOpened implements archive.Visitor.
func (f *folder) VisitOpened(e archive.Event) error {
	if f.info.Journal == "" {
		f.info.Journal = e.Journal
	}
	if old := f.info.UIDValidity; old != 0 && !slices.Contains(f.info.PastUIDValidities, old) {
		f.info.PastUIDValidities = append(f.info.PastUIDValidities, old)
	}
	f.info.Name, f.info.UIDValidity, f.info.Vanished = e.Name, e.UIDValidity, false
	f.info.Archived, f.info.Failed, f.info.Gone, f.info.UIDChecksum = 0, 0, 0, 0
	f.info.Verified, f.info.Mistrusted = 0, false
	f.info.Newer = f.info.Newer || e.V > archive.FormatVersion
	f.info.Cursor = Cursor{}
	if err := f.box.DeleteBucket(uidsBucket); err != nil {
		return err
	}
	uids, err := f.box.CreateBucket(uidsBucket)
	if err == nil {
		uids.FillPercent = 0.9
		f.uids = uids
	}
	return err
}

// index notes what the message is found by: its sum, its size and date.
func (f *folder) index(e archive.Event) {
	where := append(binary.AppendUvarint(nil, f.info.DirID), e.Path...)
	f.group = (&entry{"", e.Sum[:16], where}).appendTo(f.group)
	if known, ok := f.known(e); ok {
		f.group = known.appendTo(f.group)
	}
}

// set puts a UID's value and keeps the counts.
func (f *folder) set(u uint32, kind byte, rest string) error {
	key := uidKey(u)
	if old := f.uids.Get(key); old != nil {
		*f.count(old[0])--
		f.info.UIDChecksum ^= hash(key, old)
	}
	*f.count(kind)++
	value := append([]byte{kind}, rest...)
	f.info.UIDChecksum ^= hash(key, value)
	return f.uids.Put(key, value)
}

// hash is FNV-1a of a UID's entry.
func hash(key, value []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	h.Write(value)
	return h.Sum64()
}

func (f *folder) count(kind byte) *int {
	switch kind {
	case failedKind:
		return &f.info.Failed
	case goneKind:
		return &f.info.Gone
	}
	return &f.info.Archived
}

// VisitGone implements archive.Visitor: it marks archived UIDs as gone and deletes
// failed ones. It walks the UIDs that are stored, because the set may span 32 bits.
func (f *folder) VisitGone(e archive.Event) error {
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
			if err := f.set(binary.BigEndian.Uint32(k), goneKind, ""); err != nil {
				return err
			}
		}
		for _, k := range forgotten {
			f.info.Failed--
			f.info.UIDChecksum ^= hash(k, f.uids.Get(k))
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
	_ = db.find(func(tx *bbolt.Tx, r *recent) error {
		where := tx.Bucket(sumsBucket).Get(s[:16])
		for e := range r.find("", s[:sumLength]) {
			if bytes.Equal(e.key, s[:16]) {
				where = e.value
				break
			}
		}
		if where != nil {
			file, ok = place(tx.Bucket(directoriesBucket), where)
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
	db.folding.Lock()
	defer db.folding.Unlock()
	db.mu.RLock()
	bolt, r := db.bolt, db.recent
	notes, err = db.forget(bolt, boxes)
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
		db.failed(bolt, err)
	}
	return notes, err
}

// forget drops what is known of mailboxes that have no journal any more: what
// they held is not in the archive.
func (db *DB) forget(bolt *bbolt.DB, boxes []archive.MailboxDir) (notes []string, err error) {
	there := map[string]bool{}
	for _, b := range boxes {
		there[b.Dir] = true
	}
	var lost [][]byte
	err = view(bolt, func(tx *bbolt.Tx) error {
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
	err = update(bolt, func(tx *bbolt.Tx) error {
		for _, dir := range lost {
			if err := tx.Bucket(mailboxesBucket).DeleteBucket(dir); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
		}
		return nil
	})
	return notes, err
}

// chunk is how many events one transaction folds in where a journal is read
// from its start.
const chunk = 10000

// catchUp folds in what the journal of b has behind what is applied. Where
// that is not a place in the journal (the archive was put back from a backup,
// or damaged) the mailbox's part of the index is dropped and filled again, and
// a note says so. A corrupt journal is folded in as far as its seals hold.
func (db *DB) catchUp(r *recent, b archive.MailboxDir) (notes []string, err error) {
	bolt := r.bolt
	var info Mailbox
	known := false
	err = view(bolt, func(tx *bbolt.Tx) error {
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
		if err := update(bolt, func(tx *bbolt.Tx) error { return tx.Bucket(mailboxesBucket).DeleteBucket([]byte(b.Dir)) }); err != nil {
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
func replay(r *recent, w *archive.Writer, b archive.MailboxDir, from archive.Position) (notes []string, err error) {
	c := Change{Mailbox: b, From: from}
	flush := func(to archive.Position) error {
		c.To = to
		if err := r.fold(r.update, c); err != nil {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		c = Change{Mailbox: b, From: to, Events: c.Events[:0]}
		return nil
	}
	// A whole journal is applied in parts, which carry the start's position and
	// only with the last the end's: what does not come to its end starts again.
	end, err := w.Replay(b, from, func(e archive.Event) error {
		c.Events = append(c.Events, e)
		if from.Offset > 0 || len(c.Events) < chunk {
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
