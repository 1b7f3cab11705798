package state

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	gosync "sync"

	"go.etcd.io/bbolt"
)

// maxBufferedEntries is the most entries that stay unmerged; most messages have two.
const maxBufferedEntries = 20_000

// entry is an entry of an index: of the account's bucket in candidatesBucket or, with
// account "", of sumsBucket.
type entry struct {
	account    string
	key, value []byte
}

// appendTo appends the encoded entry.
func (e *entry) appendTo(b []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(e.account))), e.account...)
	b = append(binary.AppendUvarint(b, uint64(len(e.key))), e.key...)
	return append(binary.AppendUvarint(b, uint64(len(e.value))), e.value...)
}

// decodeEntry decodes the first entry of b and returns the rest of b. The entry refers to
// the octets of b.
func decodeEntry(b []byte) (e entry, rest []byte, ok bool) {
	var part [3][]byte
	for i := range part {
		n, w := binary.Uvarint(b)
		if w <= 0 || n > uint64(len(b)-w) {
			return entry{}, nil, false
		}
		part[i], b = b[w:w+int(n)], b[w+int(n):]
	}
	return entry{string(part[0]), part[1], part[2]}, b, true
}

// lookupPrefix is the beginning of the entry's key that it is looked up by.
func (e *entry) lookupPrefix() []byte {
	if e.account == "" {
		return e.key[:min(sumLength, len(e.key))]
	}
	return e.key[:min(keyLength, len(e.key))]
}

// indexBuffer is bufferBucket in memory, some 70 octets per entry: the entries that are
// not merged into sumsBucket and candidatesBucket yet, in groups, one per transaction. A
// lookup reads the buffer and the indexes.
//
// Sums have no order, and dates often have none: put into the indexes one by one, each
// message would change a page of both. Thousands that are merged in the order of their
// keys share pages.
//
// A lookup holds mu for reading until its transaction has begun: entries that are merged
// meanwhile are then in one of both.
type indexBuffer struct {
	bolt       *bbolt.DB
	maxEntries int // maxBufferedEntries, except in tests

	mu     gosync.RWMutex // guards the fields below
	loaded bool           // the fields below are filled from bufferBucket
	seed   maphash.Seed
	groups [][]byte         // encoded entries, one group per transaction
	refs   []entryRef       // of all entries, oldest first
	heads  map[uint64]int32 // by the hash of account and lookupPrefix, the newest such entry in refs
}

// entryRef is where an encoded entry begins, and the index in refs of the entry before it
// with the same hash, -1 if there is none.
type entryRef struct {
	group, offset uint32
	previous      int32
}

func newIndexBuffer(bolt *bbolt.DB) *indexBuffer {
	return &indexBuffer{bolt: bolt, maxEntries: maxBufferedEntries, seed: maphash.MakeSeed(), heads: map[uint64]int32{}}
}

// update runs a write transaction on the file that the buffer belongs to.
func (r *indexBuffer) update(fn func(*bbolt.Tx) error) error { return updateBolt(r.bolt, fn) }

// hash is the key of heads.
func (r *indexBuffer) hash(account string, prefix []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(account)
	h.WriteByte(0) // no account's directory has one
	h.Write(prefix)
	return h.Sum64()
}

// rLockLoaded locks mu for reading, with the entries loaded. After an error mu is not
// locked.
func (r *indexBuffer) rLockLoaded() error {
	for r.mu.RLock(); !r.loaded; r.mu.RLock() {
		r.mu.RUnlock()
		if err := r.load(); err != nil {
			return err
		}
	}
	return nil
}

// load reads the entries from bufferBucket, unless they are loaded.
func (r *indexBuffer) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	r.reset() // an earlier load may have failed halfway
	err := viewBolt(r.bolt, func(tx *bbolt.Tx) error {
		return tx.Bucket(bufferBucket).ForEach(func(_, group []byte) error { return r.addGroup(slices.Clone(group)) })
	})
	r.loaded = err == nil
	return err
}

// reset removes all entries. The caller holds mu.
func (r *indexBuffer) reset() {
	r.groups, r.refs = nil, nil
	clear(r.heads)
}

// updateFunc runs a write transaction: DB.update, or indexBuffer.update while the
// database is not in use yet.
type updateFunc func(func(*bbolt.Tx) error) error

// apply applies changes in one transaction, and merges the entries if there are more than
// maxEntries.
func (r *indexBuffer) apply(update updateFunc, changes ...Change) error {
	var group []byte
	err := update(func(tx *bbolt.Tx) (err error) {
		for _, c := range changes {
			if group, err = applyChange(tx, c, group); err != nil {
				return fmt.Errorf("apply to %s: %w", c.Mailbox.Dir, err)
			}
		}
		return storeGroup(tx, group)
	})
	if err == nil {
		err = r.addCommitted(group)
	}
	if err != nil {
		return err
	}
	return r.merge(r.maxEntries, update)
}

// storeGroup stores the entries of a transaction in bufferBucket.
func storeGroup(tx *bbolt.Tx, group []byte) error {
	if len(group) == 0 {
		return nil
	}
	b := tx.Bucket(bufferBucket)
	n, err := b.NextSequence()
	if err != nil {
		return err
	}
	return b.Put(binary.BigEndian.AppendUint64(nil, n), group)
}

// addCommitted adds the entries of a transaction that has been committed.
func (r *indexBuffer) addCommitted(group []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded || len(group) == 0 {
		return nil // load will read them
	}
	return r.addGroup(group)
}

// addGroup adds the entries of a transaction. The caller holds mu.
func (r *indexBuffer) addGroup(group []byte) error {
	number := uint32(len(r.groups))
	r.groups = append(r.groups, group)
	for rest := group; len(rest) > 0; {
		offset := uint32(len(group) - len(rest))
		e, after, ok := decodeEntry(rest)
		if !ok {
			return fmt.Errorf("%w: index entries that can't be read", ErrDamaged)
		}
		rest = after
		h := r.hash(e.account, e.lookupPrefix())
		previous, ok := r.heads[h]
		if !ok {
			previous = -1
		}
		r.heads[h] = int32(len(r.refs))
		r.refs = append(r.refs, entryRef{number, offset, previous})
	}
	return nil
}

// entryAt decodes the entry at s.
func (r *indexBuffer) entryAt(s entryRef) entry {
	e, _, _ := decodeEntry(r.groups[s.group][s.offset:]) // addGroup has decoded it
	return e
}

// withPrefix yields the entries of an account whose lookupPrefix is prefix, newest first.
// The caller holds mu during the iteration; the octets of the entries never change.
func (r *indexBuffer) withPrefix(account string, prefix []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		i, ok := r.heads[r.hash(account, prefix)]
		for ; ok && i >= 0; i = r.refs[i].previous {
			if e := r.entryAt(r.refs[i]); e.account == account && bytes.Equal(e.lookupPrefix(), prefix) && !yield(e) {
				return
			}
		}
	}
}
