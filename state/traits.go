package state

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Traits are what a server said of an archived message, by which it is told whether a
// UID still means that message.
type Traits struct {
	Size int64 // RFC822.SIZE, octets
	Unix int64 // INTERNALDATE in seconds, whatever its zone; valid only if HasDate
	// HasDate reports whether the server gave a date.
	HasDate bool
}

// traitsOf returns the traits of an added message.
func traitsOf(e archive.Event) Traits {
	t := Traits{Size: max(0, e.AnnouncedSize())}
	t.setDate(e.InternalDate)
	return t
}

// setDate sets the date, if it is one that can be stored.
func (t *Traits) setDate(date time.Time) {
	if _, ok := KeyOf(0, date); ok {
		t.Unix, t.HasDate = date.Unix(), true
	}
}

// encode returns the value of an archived UID without its kind: the size, the date as
// seconds from minSecond on, plus 1, or 0 without a date, and the flags.
func (t Traits) encode(flags string) string {
	b := binary.AppendUvarint(nil, uint64(t.Size))
	date := uint64(0)
	if t.HasDate {
		date = uint64(t.Unix-minSecond) + 1
	}
	return string(append(binary.AppendUvarint(b, date), flags...))
}

// decodeTraits decodes the value of an archived UID.
func decodeTraits(value []byte) (t Traits, flags string, err error) {
	rest := value[1:]
	size, n := binary.Uvarint(rest)
	if n <= 0 {
		return t, "", fmt.Errorf("%w: value of a UID", ErrDamaged)
	}
	date, k := binary.Uvarint(rest[n:])
	if k <= 0 {
		return t, "", fmt.Errorf("%w: value of a UID", ErrDamaged)
	}
	t.Size = int64(size)
	if date > 0 {
		t.Unix, t.HasDate = int64(date-1)+minSecond, true
	}
	return t, string(rest[n+k:]), nil
}

// Traits returns what is known of those of the UIDs that are archived and listed, by UID.
func (db *DB) Traits(dir string, uids uid.Set) (out map[uint32]Traits, err error) {
	out = map[uint32]Traits{}
	err = db.viewUIDs(dir, func(b *bbolt.Bucket) error {
		for u := range uids.All() {
			v := b.Get(uidKey(u))
			if v == nil || v[0] != archivedKind {
				continue
			}
			if out[u], _, err = decodeTraits(v); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// SampleUIDs returns about n archived and listed UIDs of the mailbox in directory dir,
// all if there are no more: the highest ones, which a server is most likely to use again,
// the lowest, and others at random.
func (db *DB) SampleUIDs(dir string, n int) (sample uid.Set, err error) {
	err = db.viewUIDs(dir, func(b *bbolt.Bucket) error {
		c := b.Cursor()
		take := func(k, v []byte) {
			if k != nil && v[0] == archivedKind {
				sample.Add(binary.BigEndian.Uint32(k))
			}
		}
		first, _ := c.First()
		last, _ := c.Last()
		if first == nil {
			return nil
		}
		from, to := binary.BigEndian.Uint32(first), binary.BigEndian.Uint32(last)
		steps := 0 // over gone and failed ones
		for k, v := c.Last(); k != nil && sample.Len() < n/2 && steps < 8*n; k, v = c.Prev() {
			take(k, v)
			steps++
		}
		for k, v := c.First(); k != nil && steps < 16*n; k, v = c.Next() {
			take(k, v)
			if v[0] == archivedKind {
				break
			}
			steps++
		}
		for range 2 * n {
			if sample.Len() >= n {
				break
			}
			take(c.Seek(uidKey(from + uint32(rand.Uint64N(uint64(to-from)+1)))))
		}
		return nil
	})
	return sample, err
}

// viewUIDs calls fn with the UIDs of the mailbox in directory dir, if it has a record.
func (db *DB) viewUIDs(dir string, fn func(uids *bbolt.Bucket) error) error {
	return db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		return fn(bucket.Bucket(uidsBucket))
	})
}
