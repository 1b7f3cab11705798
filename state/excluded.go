package state

import (
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"archiverd/internal/uid"
)

// Excluded are messages that the last complete run of a mailbox left out, because they
// are larger than the configuration allowed. They are remembered so that their sizes are
// not asked for again whenever the mailbox changes.
type Excluded struct {
	UIDValidity uint32
	Limit       int64 // octets
	UIDs        uid.Set
}

// excludedLine is the stored form of Excluded. The checksum is there because bbolt's pages
// have none, and a message that is in UIDs by mistake would never be archived.
type excludedLine struct {
	UIDValidity uint32 `json:"uidvalidity"`
	Limit       int64  `json:"limit"`
	UIDs        string `json:"uids"`
	Checksum    uint64 `json:"checksum"`
}

func (l *excludedLine) checksum() uint64 {
	return hashUID(fmt.Appendf(nil, "%d %d ", l.UIDValidity, l.Limit), []byte(l.UIDs))
}

// Excluded returns what the last complete run left out of the mailbox in directory dir;
// nothing if it left out nothing, or what is stored is damaged.
func (db *DB) Excluded(dir string) (e Excluded, err error) {
	err = db.view(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(mailboxesBucket).Bucket([]byte(dir))
		if bucket == nil {
			return nil
		}
		var l excludedLine
		if text := bucket.Get(excludedKey); text == nil || json.Unmarshal(text, &l) != nil || l.checksum() != l.Checksum {
			return nil
		}
		uids, err := uid.Parse(l.UIDs)
		e = Excluded{l.UIDValidity, l.Limit, uids}
		return err
	})
	return e, err
}

// putExcluded stores what a run left out of a mailbox, unless that is stored already.
func putExcluded(bucket *bbolt.Bucket, e Excluded) error {
	if e.UIDs.Empty() {
		return bucket.Delete(excludedKey)
	}
	l := excludedLine{UIDValidity: e.UIDValidity, Limit: e.Limit, UIDs: e.UIDs.String()}
	l.Checksum = l.checksum()
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("encode excluded UIDs: %w", err)
	}
	if string(bucket.Get(excludedKey)) == string(text) {
		return nil
	}
	return bucket.Put(excludedKey, text)
}
