package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"path"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"archiverd/archive"
)

// Key is what messages are found by before they are downloaded: RFC822.SIZE and
// the instant of INTERNALDATE, in whatever zone a server tells it.
type Key struct {
	size int64
	unix int64
}

// KeyOf is the key of a message; ok is false where there is none: without a date,
// and for sizes that no message has.
func KeyOf(size int64, date time.Time) (k Key, ok bool) {
	k = Key{size, date.Unix()}
	return k, !date.IsZero() && size >= 0 && size < 1<<40 && k.unix >= minSecond && k.unix-minSecond < 1<<40
}

// minSecond is the beginning of the year 1.
const minSecond = -62135596800

// An entry of the index is keyLength octets of date and size, then the first
// sumLength of the SHA-256. Where the server gave the message an id, idLength
// octets of the id's own SHA-256 and the mailbox's number follow, and the value is
// the UIDVALIDITY there. Dates come first because messages come by them: entries
// are then added at the end.
const (
	keyLength = 10
	sumLength = 8
	idLength  = 8
)

// appendTo appends the octets of k.
func (k Key) appendTo(b []byte) []byte {
	for _, n := range [...]int64{k.unix - minSecond, k.size} {
		b = append(b, byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return b
}

func hashEmailID(emailID string) []byte {
	sum := sha256.Sum256([]byte(emailID))
	return sum[:idLength]
}

// candidateEntry is an archived message's entry, if it has one.
func (f *applier) candidateEntry(m archive.Event) (e entry, ok bool) {
	k, ok := KeyOf(m.Size, m.InternalDate)
	if !ok {
		return e, false
	}
	e = entry{account: f.record.Account, key: append(k.appendTo(nil), m.Sum[:sumLength]...)}
	if m.EmailID != "" {
		e.key = binary.AppendUvarint(append(e.key, hashEmailID(m.EmailID)...), f.record.DirID)
		e.value = binary.BigEndian.AppendUint32(nil, f.record.UIDValidity)
	}
	return e, true
}

// Candidate is one of the contents that an account's archive has with a size and
// INTERNALDATE. Nothing of it is to be relied on before the file was read whole.
type Candidate struct {
	Path      string   // relative to the archive
	SumPrefix [16]byte // the first half of its SHA-256

	emailIDs []objectID
}

// objectID is the id that a server gave a message in a mailbox.
type objectID struct {
	hash        []byte
	dir         string
	uidValidity uint32
}

// MatchesSum says whether s has the half that is known.
func (k *Candidate) MatchesSum(s archive.Sum) bool {
	return bytes.Equal(s[:len(k.SumPrefix)], k.SumPrefix[:])
}

// HasEmailID says whether a server gave the message that EMAILID. An id means nothing at
// another server: still says of a mailbox's directory whether the server has it
// under that UIDVALIDITY still.
func (k *Candidate) HasEmailID(emailID string, still func(dir string, uidValidity uint32) bool) bool {
	id := hashEmailID(emailID)
	return emailID != "" && slices.ContainsFunc(k.emailIDs, func(g objectID) bool { return bytes.Equal(g.hash, id) && still(g.dir, g.uidValidity) })
}

// Of one key so many entries are read, and contents given. Where there are more,
// comparing costs more than it spares.
const (
	maxEntriesPerKey = 1000
	maxCandidates    = 16
)

// Candidates returns what the account's archive has with the keys, by UID as asked
// for. A UID of which it has nothing, or too much, is not in the result.
func (db *DB) Candidates(account string, keys map[uint32]Key) (map[uint32][]Candidate, error) {
	out := map[uint32][]Candidate{}
	err := db.viewIndexes(func(tx *bbolt.Tx, r *indexBuffer) error {
		l := candidateLookup{account: account, buffer: r, sums: tx.Bucket(sumsBucket).Cursor(), directories: tx.Bucket(directoriesBucket)}
		if b := tx.Bucket(candidatesBucket).Bucket([]byte(account)); b != nil {
			l.candidates = b.Cursor()
		}
		key := make([]byte, 0, keyLength)
		for u, k := range keys {
			if list := l.byKey(k.appendTo(key)); len(list) > 0 {
				out[u] = list
			}
		}
		return nil
	})
	return out, err
}

// candidateLookup looks into the indexes within a transaction, and at what they have yet to take in.
type candidateLookup struct {
	account          string
	buffer           *indexBuffer
	candidates, sums *bbolt.Cursor // known: nil for an account that has nothing there
	directories      *bbolt.Bucket
	entries          []entry // room for those of a key
	files            []entry // and for those of a sum
}

// merged appends to list what c and recent have under a prefix, in the order of keys;
// where both have a key, recent counts. It is nil if there are more than most.
func (l *candidateLookup) merged(list []entry, c *bbolt.Cursor, account string, prefix []byte, most int) []entry {
	for e := range l.buffer.withPrefix(account, prefix) {
		if list = append(list, e); len(list) > most {
			return nil
		}
	}
	fresh := len(list)
	if c != nil {
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if list = append(list, entry{account, k, v}); len(list) > most {
				return nil
			}
		}
	}
	if fresh == 0 {
		return list
	}
	slices.SortStableFunc(list, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(list, func(a, b entry) bool { return bytes.Equal(a.key, b.key) })
}

// byKey is what the archive has with a key.
func (l *candidateLookup) byKey(key []byte) (list []Candidate) {
	l.entries = l.merged(l.entries[:0], l.candidates, l.account, key, maxEntriesPerKey)
	var last []byte // the sum of the entries that are being read
	first := 0      // of list, of that sum
	for _, e := range l.entries {
		if len(e.key) < keyLength+sumLength {
			continue
		}
		if sum := e.key[keyLength : keyLength+sumLength]; !bytes.Equal(sum, last) {
			last, first = sum, len(list)
			l.files = l.merged(l.files[:0], l.sums, "", sum, maxEntriesPerKey)
			for _, f := range l.files {
				if file, ok := filePath(l.directories, f.value); ok && len(f.key) == len(Candidate{}.SumPrefix) {
					list = append(list, Candidate{Path: file, SumPrefix: [16]byte(f.key)})
				}
			}
			if len(list) > maxCandidates {
				return nil
			}
		}
		// Where two contents begin with that much of a sum, whose the id is can't be told.
		if rest := e.key[keyLength+sumLength:]; len(rest) > idLength && len(e.value) == 4 && len(list) == first+1 {
			dir := string(l.directories.Get(rest[idLength:]))
			here := &list[first]
			here.emailIDs = append(here.emailIDs, objectID{bytes.Clone(rest[:idLength]), dir, binary.BigEndian.Uint32(e.value)})
		}
	}
	return list
}

// PathOf returns where, relative to the archive, a message with that SHA-256
// lies. It is found by half of the sum: the caller reads the file before it
// relies on it.
func (db *DB) PathOf(s archive.Sum) (file string, ok bool) {
	// No answer costs disk space only, so an error is none.
	_ = db.viewIndexes(func(tx *bbolt.Tx, r *indexBuffer) error {
		where := tx.Bucket(sumsBucket).Get(s[:16])
		for e := range r.withPrefix("", s[:sumLength]) {
			if bytes.Equal(e.key, s[:16]) {
				where = e.value
				break
			}
		}
		if where != nil {
			file, ok = filePath(tx.Bucket(directoriesBucket), where)
		}
		return nil
	})
	return file, ok
}

// filePath is the file that an entry of the index of sums names.
func filePath(numbers *bbolt.Bucket, where []byte) (file string, ok bool) {
	_, n := binary.Uvarint(where)
	if n <= 0 {
		return "", false
	}
	dir := numbers.Get(where[:n])
	return path.Join(string(dir), string(where[n:])), dir != nil
}
