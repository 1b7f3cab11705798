package state

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"go.etcd.io/bbolt"

	"archiverd/internal/uid"
)

// UIDs are the UIDs of a mailbox's current epoch, each in one of the sets.
type UIDs struct{ Archived, Failed, Gone uid.Set }

// The kinds of values in uidsBucket: the first octet. The traits and flags of an archived
// UID or the reason of a failed one follow.
const (
	archivedKind = 'a'
	failedKind   = 'f'
	goneKind     = 'g'
)

// UIDs returns the UIDs of the mailbox in directory dir, empty sets if it has no record.
// The error is ErrDamaged if the stored checksum does not fit: a UID that is archived by
// mistake would never be downloaded.
func (db *DB) UIDs(dir string) (u UIDs, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		record, err := getMailbox(bucket)
		if err != nil {
			return err
		}
		err = bucket.Bucket(uidsBucket).ForEach(func(k, v []byte) error {
			record.UIDChecksum ^= hashUID(k, v)
			n := binary.BigEndian.Uint32(k)
			switch v[0] {
			case archivedKind:
				u.Archived.Add(n)
			case failedKind:
				u.Failed.Add(n)
			case goneKind:
				u.Gone.Add(n)
			}
			return nil
		})
		if err == nil && record.UIDChecksum != 0 {
			err = fmt.Errorf("%w: the UIDs of mailbox %s", ErrDamaged, dir)
		}
		return err
	})
	return u, err
}

// NamedUIDs returns those of the UIDs that the journal of the mailbox in directory dir may
// have an added line of, in an epoch of that UIDVALIDITY: all of them, if the database
// can't say.
func (db *DB) NamedUIDs(dir string, uidValidity uint32, uids uid.Set) uid.Set {
	out := uid.Set{}
	err := db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		record, err := getMailbox(bucket)
		if err != nil {
			return err
		}
		past := record.maxPastUID(uidValidity)
		stored := bucket.Bucket(uidsBucket)
		for u := range uids.All() {
			if u <= past || record.UIDValidity == uidValidity && (record.Forgetful || stored.Get(uidKey(u)) != nil) {
				out.Add(u)
			}
		}
		return nil
	})
	if err != nil {
		return uids
	}
	return out
}

// hashUID is FNV-1a of a UID's entry.
func hashUID(key, value []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	h.Write(value)
	return h.Sum64()
}

// MessageFlags is a message's flags, sorted and joined by spaces.
type MessageFlags struct {
	UID   uint32
	Flags string
}

// ChangedFlags returns the elements of list whose message is archived with other flags,
// in their order.
func (db *DB) ChangedFlags(dir string, list []MessageFlags) (changed []MessageFlags, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		uids := bucket.Bucket(uidsBucket)
		for _, f := range list {
			v := uids.Get(uidKey(f.UID))
			if v == nil || v[0] != archivedKind {
				continue
			}
			_, flags, err := decodeTraits(v)
			if err != nil {
				return err
			}
			if flags != f.Flags {
				changed = append(changed, f)
			}
		}
		return nil
	})
	return changed, err
}

// Failures returns the failed UIDs of the mailbox in directory dir, with the reasons.
func (db *DB) Failures(dir string) (out map[uint32]string, err error) {
	out = map[uint32]string{}
	err = db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		return bucket.Bucket(uidsBucket).ForEach(func(k, v []byte) error {
			if v[0] == failedKind {
				out[binary.BigEndian.Uint32(k)] = string(v[1:])
			}
			return nil
		})
	})
	return out, err
}
