package state

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Info is what the database knows of a mailbox.
type Info struct {
	Account string       `json:"account"` // the account's directory
	Name    archive.Name `json:"name"`
	Number  uint64       `json:"number"` // stands for the directory in the index of sums

	// The journal, and how much of it is folded in.
	Journal string           `json:"journal"`
	Applied archive.Position `json:"applied"`
	Newer   bool             `json:"newer,omitempty"` // a newer archiverd wrote to it: read only

	// The current epoch.
	UIDValidity uint32   `json:"uidvalidity"`
	Past        []uint32 `json:"past,omitempty"` // UIDVALIDITY of the epochs before
	Archived    int      `json:"archived"`       // UIDs archived and still listed
	Failed      int      `json:"failed"`
	Gone        int      `json:"gone"`
	Vanished    bool     `json:"vanished,omitempty"`
	Compared    int      `json:"compared,omitempty"` // messages that were downloaded although they seemed known
	Doubt       bool     `json:"doubt,omitempty"`    // one of these had other octets: nothing here may be taken for known
	Check       uint64   `json:"check"`              // XOR of the hashes of the epoch's UIDs, for bbolt's pages have none

	Cursor Cursor `json:"cursor"`
}

// Cursor is what the server said of a mailbox when every UID of it was last
// accounted for. The zero value: never.
type Cursor struct {
	UIDValidity   uint32 `json:"uidvalidity,omitempty"`
	UIDNext       uint32 `json:"uidnext,omitempty"`
	Messages      uint32 `json:"messages,omitempty"`
	HighestModSeq uint64 `json:"highestmodseq,omitempty"`
	Excluded      int    `json:"excluded,omitempty"` // messages over Limit
	Limit         int64  `json:"limit,omitempty"`    // octets; 0: none
}

// UIDs are the UIDs of a mailbox's current epoch.
type UIDs struct{ Archived, Failed, Gone uid.Set }

// The kinds of values in a bucket of UIDs, their first octet. Behind it stand
// the flags, or the reason.
const (
	archivedKind = 'a'
	failedKind   = 'f'
	goneKind     = 'g'
)

func getInfo(box *bbolt.Bucket) (Info, error) {
	var info Info
	if err := json.Unmarshal(box.Get(infoKey), &info); err != nil {
		return Info{}, fmt.Errorf("%w: info of a mailbox: %w", ErrDamaged, err)
	}
	return info, nil
}

func putInfo(box *bbolt.Bucket, info Info) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return box.Put(infoKey, text)
}

// Info returns what is known of the mailbox in directory dir; false if nothing is.
func (db *DB) Info(dir string) (info Info, ok bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		ok = true
		info, err = getInfo(box)
		return err
	})
	return info, ok, err
}

// Infos returns what is known of every mailbox of an account, by directory.
func (db *DB) Infos(account string) (map[string]Info, error) {
	var out map[string]Info
	err := db.view(func(tx *bbolt.Tx) (err error) {
		out, err = infos(tx, account)
		return err
	})
	return out, err
}

func infos(tx *bbolt.Tx, account string) (map[string]Info, error) {
	out := map[string]Info{}
	boxes := tx.Bucket(boxesBucket)
	err := boxes.ForEachBucket(func(dir []byte) error {
		info, err := getInfo(boxes.Bucket(dir))
		if err == nil && info.Account == account {
			out[string(dir)] = info
		}
		return err
	})
	return out, err
}

// UIDs returns the sets of UIDs of the mailbox in directory dir. The error is
// ErrDamaged if they are not those that were stored: a UID that only seems
// archived would never be.
func (db *DB) UIDs(dir string) (u UIDs, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		info, err := getInfo(box)
		if err != nil {
			return err
		}
		err = box.Bucket(uidsBucket).ForEach(func(k, v []byte) error {
			info.Check ^= hash(k, v)
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
		if err == nil && info.Check != 0 {
			err = fmt.Errorf("%w: the UIDs of mailbox %s", ErrDamaged, dir)
		}
		return err
	})
	return u, err
}

// FlagsOf is a message's flags, sorted and joined by spaces.
type FlagsOf struct {
	UID   uint32
	Flags string
}

// Changed returns those of list whose message is archived with other flags.
func (db *DB) Changed(dir string, list []FlagsOf) (changed []FlagsOf, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(boxesBucket).Bucket([]byte(dir))
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
		box := tx.Bucket(boxesBucket).Bucket([]byte(dir))
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

// setCursors stores the cursors of mailboxes that a run has completed, by directory.
func setCursors(tx *bbolt.Tx, cursors map[string]Cursor) error {
	for dir, c := range cursors {
		box := tx.Bucket(boxesBucket).Bucket([]byte(dir))
		if box == nil {
			continue
		}
		info, err := getInfo(box)
		if err != nil {
			return err
		}
		info.Cursor = c
		if err := putInfo(box, info); err != nil {
			return err
		}
	}
	return nil
}
