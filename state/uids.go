package state

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"go.etcd.io/bbolt"

	"archiverd/internal/uid"
)

// UIDs are the UIDs of a mailbox's current epoch.
type UIDs struct{ Archived, Failed, Gone uid.Set }

// The kinds of values in a bucket of UIDs, their first octet. Behind it stand
// the flags, or the reason.
const (
	archivedKind = 'a'
	failedKind   = 'f'
	goneKind     = 'g'
)

// UIDs returns the sets of UIDs of the mailbox in directory dir. The error is
// ErrDamaged if they are not those that were stored: a UID that only seems
// archived would never be.
func (db *DB) UIDs(dir string) (u UIDs, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		info, err := getMailbox(box)
		if err != nil {
			return err
		}
		err = box.Bucket(uidsBucket).ForEach(func(k, v []byte) error {
			info.UIDChecksum ^= hashUID(k, v)
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
		if err == nil && info.UIDChecksum != 0 {
			err = fmt.Errorf("%w: the UIDs of mailbox %s", ErrDamaged, dir)
		}
		return err
	})
	return u, err
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

// ChangedFlags returns those of list whose message is archived with other flags.
func (db *DB) ChangedFlags(dir string, list []MessageFlags) (changed []MessageFlags, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		uids := box.Bucket(uidsBucket)
		for _, f := range list {
			if v := uids.Get(uidKey(f.UID)); v != nil && v[0] == archivedKind && string(v[1:]) != f.Flags {
				changed = append(changed, f)
			}
		}
		return nil
	})
	return changed, err
}

// Failures are the UIDs that failed in the mailbox, with the reasons.
func (db *DB) Failures(dir string) (out map[uint32]string, err error) {
	out = map[uint32]string{}
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		return box.Bucket(uidsBucket).ForEach(func(k, v []byte) error {
			if v[0] == failedKind {
				out[binary.BigEndian.Uint32(k)] = string(v[1:])
			}
			return nil
		})
	})
	return out, err
}
