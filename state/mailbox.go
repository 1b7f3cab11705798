package state

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// Mailbox is what the database knows of a mailbox.
type Mailbox struct {
	Account string       `json:"account"` // the account's directory
	Name    archive.Name `json:"name"`
	DirID   uint64       `json:"dir_id"` // stands for the directory in the index of sums

	// The journal, and how much of it is folded in.
	Journal string           `json:"journal"`
	Applied archive.Position `json:"applied"`
	Newer   bool             `json:"newer,omitempty"` // a newer archiverd wrote to it: read only

	// The current epoch.
	UIDValidity       uint32   `json:"uidvalidity"`
	PastUIDValidities []uint32 `json:"past_uidvalidities,omitempty"` // UIDVALIDITY of the epochs before
	Archived          int      `json:"archived"`                     // UIDs archived and still listed
	Failed            int      `json:"failed"`
	Gone              int      `json:"gone"`
	Vanished          bool     `json:"vanished,omitempty"`
	Verified          int      `json:"verified,omitempty"`   // messages that were downloaded although they seemed known
	Mistrusted        bool     `json:"mistrusted,omitempty"` // one of these had other octets: nothing here may be taken for known
	UIDChecksum       uint64   `json:"uid_checksum"`         // XOR of the hashes of the epoch's UIDs, for bbolt's pages have none

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

func getMailbox(box *bbolt.Bucket) (Mailbox, error) {
	var info Mailbox
	if err := json.Unmarshal(box.Get(recordKey), &info); err != nil {
		return Mailbox{}, fmt.Errorf("%w: info of a mailbox: %w", ErrDamaged, err)
	}
	return info, nil
}

func putMailbox(box *bbolt.Bucket, info Mailbox) error {
	text, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return box.Put(recordKey, text)
}

// Mailbox returns what is known of the mailbox in directory dir; false if nothing is.
func (db *DB) Mailbox(dir string) (info Mailbox, ok bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		box := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if box == nil {
			return nil
		}
		ok = true
		info, err = getMailbox(box)
		return err
	})
	return info, ok, err
}

// Mailboxes returns what is known of every mailbox of an account, by directory.
func (db *DB) Mailboxes(account string) (map[string]Mailbox, error) {
	var out map[string]Mailbox
	err := db.view(func(tx *bbolt.Tx) (err error) {
		out, err = mailboxes(tx, account)
		return err
	})
	return out, err
}

func mailboxes(tx *bbolt.Tx, account string) (map[string]Mailbox, error) {
	out := map[string]Mailbox{}
	boxes := tx.Bucket(mailboxesBucket)
	err := boxes.ForEachBucket(func(dir []byte) error {
		info, err := getMailbox(boxes.Bucket(dir))
		if err == nil && info.Account == account {
			out[string(dir)] = info
		}
		return err
	})
	return out, err
}

// setCursors stores the cursors of mailboxes that a run has completed, by directory.
func setCursors(tx *bbolt.Tx, cursors map[string]Cursor) error {
	for dir, c := range cursors {
		box := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if box == nil {
			continue
		}
		info, err := getMailbox(box)
		if err != nil {
			return err
		}
		info.Cursor = c
		if err := putMailbox(box, info); err != nil {
			return err
		}
	}
	return nil
}
