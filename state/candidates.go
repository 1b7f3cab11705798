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

// Key is what candidates for a message are found by before it is downloaded: RFC822.SIZE
// and the instant of INTERNALDATE, whatever its zone.
type Key struct {
	size int64
	unix int64
}

// KeyOf returns the key of a message. ok is false if it has none: without a date, or with
// a size or date out of range.
func KeyOf(size int64, date time.Time) (k Key, ok bool) {
	k = Key{size, date.Unix()}
	return k, !date.IsZero() && size >= 0 && size < 1<<40 && k.unix >= minSecond && k.unix-minSecond < 1<<40
}

// minSecond is the start of the year 1 in Unix seconds.
const minSecond = -62135596800

// The key of an entry in candidatesBucket has keyLength octets of date and size, then
// the first sumLength octets of the SHA-256. If the server gave the message an EMAILID,
// idLength octets of the SHA-256 of that and the DirID follow, and the value is the
// UIDVALIDITY. The date comes first because messages mostly arrive in its order: their
// entries are then added at the end.
const (
	keyLength = 10
	sumLength = 8
	idLength  = 8
)

// appendTo appends the encoded key: keyLength octets.
func (k Key) appendTo(b []byte) []byte {
	for _, n := range [...]int64{k.unix - minSecond, k.size} {
		b = append(b, byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return b
}

// hashEmailID is the part of an EMAILID's hash that the index has.
func hashEmailID(emailID string) []byte {
	sum := sha256.Sum256([]byte(emailID))
	return sum[:idLength]
}

// candidateEntry returns the entry of an archived message, if it has a Key.
func (a *applier) candidateEntry(m archive.Event) (e entry, ok bool) {
	k, ok := KeyOf(m.Size, m.InternalDate)
	if !ok {
		return e, false
	}
	e = entry{account: a.record.Account, key: append(k.appendTo(nil), m.Sum[:sumLength]...)}
	if m.EmailID != "" {
		e.key = binary.AppendUvarint(append(e.key, hashEmailID(m.EmailID)...), a.record.DirID)
		e.value = binary.BigEndian.AppendUint32(nil, a.record.UIDValidity)
	}
	return e, true
}

// Candidate is a file of an account's archive whose message has a Key. Read the file
// before relying on it: the index may be wrong.
type Candidate struct {
	Path      string   // relative to the archive
	SumPrefix [16]byte // the first half of its SHA-256

	emailIDs []objectID
}

// objectID is an EMAILID that a server gave a message in a mailbox.
type objectID struct {
	hash        []byte
	dir         string
	uidValidity uint32
}

// MatchesSum reports whether s begins with SumPrefix.
func (k *Candidate) MatchesSum(s archive.Sum) bool {
	return bytes.Equal(s[:len(k.SumPrefix)], k.SumPrefix[:])
}

// HasEmailID reports whether the server gave the message that EMAILID. An ID has no
// meaning on another server: stillListed reports whether the server still lists the
// mailbox in a directory with that UIDVALIDITY.
func (k *Candidate) HasEmailID(emailID string, stillListed func(dir string, uidValidity uint32) bool) bool {
	id := hashEmailID(emailID)
	return emailID != "" && slices.ContainsFunc(k.emailIDs, func(g objectID) bool { return bytes.Equal(g.hash, id) && stillListed(g.dir, g.uidValidity) })
}

// Limits of one Key: the entries that are read, and the candidates that are returned. If
// there are more, comparing costs more than a download.
const (
	maxEntriesPerKey = 1000
	maxCandidates    = 16
)

// Candidates returns the candidates of an account's archive for the keys of messages, by
// the UIDs of these. A UID without candidates, or with more than the limit, is not in
// the result.
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

// candidateLookup looks up candidates within one transaction: in the indexes, and in the
// buffer of entries that are not merged yet.
type candidateLookup struct {
	account          string
	buffer           *indexBuffer
	candidates, sums *bbolt.Cursor // candidates is nil if the account has none
	directories      *bbolt.Bucket
	entries          []entry // reused for each key
	files            []entry // reused for each sum
}

// merged appends to list the entries of c and of the buffer with a prefix, by key; if
// both have a key, the buffer's counts. It returns nil if there are more than limit.
func (l *candidateLookup) merged(list []entry, c *bbolt.Cursor, account string, prefix []byte, limit int) []entry {
	for e := range l.buffer.withPrefix(account, prefix) {
		if list = append(list, e); len(list) > limit {
			return nil
		}
	}
	buffered := len(list)
	if c != nil {
		for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if list = append(list, entry{account, k, v}); len(list) > limit {
				return nil
			}
		}
	}
	if buffered == 0 {
		return list
	}
	slices.SortStableFunc(list, func(a, b entry) int { return bytes.Compare(a.key, b.key) })
	return slices.CompactFunc(list, func(a, b entry) bool { return bytes.Equal(a.key, b.key) })
}

// byKey returns the candidates with an encoded Key.
func (l *candidateLookup) byKey(key []byte) (list []Candidate) {
	l.entries = l.merged(l.entries[:0], l.candidates, l.account, key, maxEntriesPerKey)
	var last []byte // sum of the previous entry
	first := 0      // index in list of the first candidate with that sum
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
		// If the sums of two candidates begin alike, the ID may belong to either.
		if rest := e.key[keyLength+sumLength:]; len(rest) > idLength && len(e.value) == 4 && len(list) == first+1 {
			dir := string(l.directories.Get(rest[idLength:]))
			c := &list[first]
			c.emailIDs = append(c.emailIDs, objectID{bytes.Clone(rest[:idLength]), dir, binary.BigEndian.Uint32(e.value)})
		}
	}
	return list
}

// PathOf returns the path, relative to the archive, of a message with that SHA-256. It
// is found by half of the sum, and the index may be wrong: the caller reads the file
// before relying on it.
func (db *DB) PathOf(s archive.Sum) (file string, ok bool) {
	// An error is ignored: without an answer the octets are stored twice.
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

// filePath returns the path, relative to the archive, that a value of sumsBucket stands
// for.
func filePath(directories *bbolt.Bucket, value []byte) (file string, ok bool) {
	_, n := binary.Uvarint(value)
	if n <= 0 {
		return "", false
	}
	dir := directories.Get(value[:n])
	return path.Join(string(dir), string(value[n:])), dir != nil
}
