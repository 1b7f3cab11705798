package state

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// Mailbox is the record of a mailbox in the database.
type Mailbox struct {
	Account string       `json:"account"` // the account's directory
	Name    archive.Name `json:"name"`
	DirID   uint64       `json:"dir_id"` // stands for the directory in the indexes

	// The journal, and how much of it is applied.
	Journal string           `json:"journal"`
	Applied archive.Position `json:"applied"`
	Stamp   archive.Stamp    `json:"stamp,omitzero"`  // as archiverd left it, or checked it whole; zero: not known
	Newer   bool             `json:"newer,omitempty"` // a newer archiverd wrote to it: read only

	// The current epoch.
	UIDValidity       uint32   `json:"uidvalidity"`
	Server            string   `json:"server,omitempty"`             // that it was opened at; empty: not known
	User              string   `json:"user,omitempty"`               // who logged in there
	PastUIDValidities []uint32 `json:"past_uidvalidities,omitempty"` // UIDVALIDITY of the epochs before
	MaxPastUIDs       []uint32 `json:"max_past_uids,omitempty"`      // the highest UID of each, where it is known
	Forgetful         bool     `json:"forgetful,omitempty"`          // a gone UID failed later: that it was archived may be forgotten
	Archived          int      `json:"archived"`                     // UIDs archived and still listed
	Failed            int      `json:"failed"`
	Gone              int      `json:"gone"`
	Awaiting          int      `json:"awaiting,omitempty"`     // of Archived: their octets are not as many as announced, see Again
	Again             int      `json:"again,omitempty"`        // messages that are asked for again: Awaiting, and failed ones
	AgainOctets       int64    `json:"again_octets,omitempty"` // of those
	Vanished          bool     `json:"vanished,omitempty"`
	Verified          int      `json:"verified,omitempty"`   // messages that were downloaded although they matched one of the archive
	Mistrusted        bool     `json:"mistrusted,omitempty"` // one of these had other octets: messages of this mailbox must not be matched
	UIDChecksum       uint64   `json:"uid_checksum"`         // XOR of the hashes of the UIDs' entries, because bbolt's pages have no checksum

	// SizeExamples say how the sizes of the server differ; those of earlier epochs too.
	SizeExamples []SizeExample `json:"size_examples,omitempty"`

	Cursor Cursor `json:"cursor"`
}

// Cursor is what the server said about a mailbox when a run last accounted for all its
// UIDs. The zero value: no run has.
type Cursor struct {
	UIDValidity   uint32 `json:"uidvalidity,omitempty"`
	UIDNext       uint32 `json:"uidnext,omitempty"`
	Messages      uint32 `json:"messages,omitempty"`
	HighestModSeq uint64 `json:"highestmodseq,omitempty"`
	Excluded      int    `json:"excluded,omitempty"` // messages over Limit
	Limit         int64  `json:"limit,omitempty"`    // octets; 0: none

	// Server and User are where and as whom the run logged in.
	Server string `json:"server,omitempty"`
	User   string `json:"user,omitempty"`
	// Compared is when the flags of all messages were last compared with the server's.
	Compared time.Time `json:"compared,omitzero"`
	// SizesVary and DatesVary: RFC822.SIZE or INTERNALDATE of some messages is another than
	// when they were archived, and they are the same messages.
	SizesVary bool `json:"sizes_vary,omitempty"`
	DatesVary bool `json:"dates_vary,omitempty"`
}

// Completed is what a run that has accounted for all UIDs of a mailbox stores of it.
type Completed struct {
	Cursor
	ExcludedUIDs uid.Set // the messages over Limit
}

// Origin returns the server and user of the current epoch, as of the last run that
// accounted for all its UIDs, or else when it was opened.
func (m *Mailbox) Origin() (server, user string) {
	if m.Cursor.UIDValidity != 0 {
		return m.Cursor.Server, m.Cursor.User
	}
	return m.Server, m.User
}

// maxPastUID returns the highest UID that an epoch of that UIDVALIDITY may have had, of
// those before the current one; 0: there was none.
func (m *Mailbox) maxPastUID(uidValidity uint32) uint32 {
	i := slices.Index(m.PastUIDValidities, uidValidity)
	switch {
	case i < 0:
		return 0
	case i >= len(m.MaxPastUIDs): // an older archiverd wrote the record
		return math.MaxUint32
	}
	return m.MaxPastUIDs[i]
}

// endEpoch adds the current epoch, with the highest of its UIDs, to those before.
func (m *Mailbox) endEpoch(maxUID uint32) {
	if m.UIDValidity == 0 {
		return
	}
	for len(m.MaxPastUIDs) < len(m.PastUIDValidities) {
		m.MaxPastUIDs = append(m.MaxPastUIDs, math.MaxUint32)
	}
	i := slices.Index(m.PastUIDValidities, m.UIDValidity)
	if i < 0 {
		m.PastUIDValidities, m.MaxPastUIDs = append(m.PastUIDValidities, m.UIDValidity), append(m.MaxPastUIDs, 0)
		i = len(m.PastUIDValidities) - 1
	}
	m.MaxPastUIDs[i] = max(m.MaxPastUIDs[i], maxUID)
}

// getMailbox reads the record of a mailbox's bucket.
func getMailbox(bucket *bbolt.Bucket) (Mailbox, error) {
	var record Mailbox
	if err := json.Unmarshal(bucket.Get(recordKey), &record); err != nil {
		return Mailbox{}, fmt.Errorf("%w: record of a mailbox: %w", ErrDamaged, err)
	}
	return record, nil
}

// putMailbox stores the record of a mailbox's bucket.
func putMailbox(bucket *bbolt.Bucket, record Mailbox) error {
	text, err := json.Marshal(record)
	if err != nil {
		return err
	}
	return bucket.Put(recordKey, text)
}

// JournalState is what the record knows of the mailbox's journal.
func (m *Mailbox) JournalState() archive.JournalState {
	return archive.JournalState{ID: m.Journal, End: m.Applied, Stamp: m.Stamp}
}

// SetStamp stores the stamp of the journal of the mailbox in directory dir, which was
// checked whole up to the position end, unless another position is applied by now.
func (db *DB) SetStamp(dir string, end archive.Position, s archive.Stamp) error {
	return db.update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		record, err := getMailbox(bucket)
		if err != nil || record.Applied != end {
			return err
		}
		record.Stamp = s
		return putMailbox(bucket, record)
	})
}

// Mailbox returns the record of the mailbox in directory dir; ok is false if there is
// none.
func (db *DB) Mailbox(dir string) (record Mailbox, ok bool, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		ok = true
		record, err = getMailbox(bucket)
		return err
	})
	return record, ok, err
}

// Mailboxes returns the records of the mailboxes of an account, by directory.
func (db *DB) Mailboxes(account string) (map[string]Mailbox, error) {
	var out map[string]Mailbox
	err := db.view(func(tx *bbolt.Tx) (err error) {
		out, err = readMailboxes(tx, account)
		return err
	})
	return out, err
}

func readMailboxes(tx *bbolt.Tx, account string) (map[string]Mailbox, error) {
	out := map[string]Mailbox{}
	buckets := tx.Bucket(mailboxesBucket)
	err := buckets.ForEachBucket(func(dir []byte) error {
		record, err := getMailbox(buckets.Bucket(dir))
		if err == nil && record.Account == account {
			out[string(dir)] = record
		}
		return err
	})
	return out, err
}

// setCursors stores the cursors of the mailboxes in dirs.
func setCursors(tx *bbolt.Tx, cursors map[string]Completed, dirs []string) error {
	for _, dir := range dirs {
		c := cursors[dir]
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			continue
		}
		record, err := getMailbox(bucket)
		if err != nil {
			return err
		}
		record.Cursor = c.Cursor
		if err := putExcluded(bucket, Excluded{c.UIDValidity, c.Limit, c.ExcludedUIDs}); err != nil {
			return err
		}
		if err := putMailbox(bucket, record); err != nil {
			return err
		}
	}
	return nil
}
