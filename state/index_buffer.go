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

// maxBufferedEntries is how many entries are left in it, two for most messages.
const maxBufferedEntries = 20_000

// entry is one of an index: of that of sizes and dates of an account, or with
// account "" of that of sums.
type entry struct {
	account    string
	key, value []byte
}

// appendTo appends the entry's octets.
func (e *entry) appendTo(b []byte) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(e.account))), e.account...)
	b = append(binary.AppendUvarint(b, uint64(len(e.key))), e.key...)
	return append(binary.AppendUvarint(b, uint64(len(e.value))), e.value...)
}

// decodeEntry reads the first entry of b, of which it holds parts, and returns what follows.
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

// lookupPrefix is how much of the entry's key it is looked up by.
func (e *entry) lookupPrefix() []byte {
	if e.account == "" {
		return e.key[:min(sumLength, len(e.key))]
	}
	return e.key[:min(keyLength, len(e.key))]
}

// indexBuffer are the entries of bufferBucket in memory, some 70 octets each. One who looks
// up holds the mutex for reading until the transaction has begun that he reads the
// indexes in: what has left the one is then in the others.
type indexBuffer struct {
	bolt       *bbolt.DB
	maxEntries int // entries that are left, maxBufferedEntries but in tests

	mu     gosync.RWMutex
	loaded bool
	seed   maphash.Seed
	groups [][]byte         // one a transaction
	refs   []entryRef       // of each entry, as they came
	heads  map[uint64]int32 // by what hashes of prefixes are, the last such in at
}

// entryRef is where an entry begins, and which one before has the same hash, -1 for none.
type entryRef struct {
	group, offset uint32
	previous      int32
}

func newIndexBuffer(bolt *bbolt.DB) *indexBuffer {
	return &indexBuffer{bolt: bolt, maxEntries: maxBufferedEntries, seed: maphash.MakeSeed(), heads: map[uint64]int32{}}
}

// update runs a write transaction.
func (r *indexBuffer) update(fn func(*bbolt.Tx) error) error { return updateBolt(r.bolt, fn) }

func (r *indexBuffer) hash(account string, prefix []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(account)
	h.WriteByte(0) // which no account's directory has
	h.Write(prefix)
	return h.Sum64()
}

// rLockLoaded reads the entries, if they are not known, and holds the mutex for reading.
func (r *indexBuffer) rLockLoaded() error {
	for r.mu.RLock(); !r.loaded; r.mu.RLock() {
		r.mu.RUnlock()
		if err := r.load(); err != nil {
			return err
		}
	}
	return nil
}

func (r *indexBuffer) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	r.reset() // half of them
	err := viewBolt(r.bolt, func(tx *bbolt.Tx) error {
		return tx.Bucket(bufferBucket).ForEach(func(_, group []byte) error { return r.addGroup(slices.Clone(group)) })
	})
	r.loaded = err == nil
	return err
}

// reset forgets the entries.
func (r *indexBuffer) reset() {
	r.groups, r.refs = nil, nil
	clear(r.heads)
}

// updateFunc runs a write transaction.
type updateFunc func(func(*bbolt.Tx) error) error

// apply folds changes into the database in one transaction, and puts the entries in
// their places where there are too many.
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

// storeGroup stores the entries of a transaction in it.
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

// addCommitted takes the entries of a transaction that has been committed.
func (r *indexBuffer) addCommitted(group []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded || len(group) == 0 {
		return nil // it will be read
	}
	return r.addGroup(group)
}

// addGroup takes the entries of a transaction, under the mutex.
func (r *indexBuffer) addGroup(group []byte) error {
	number := uint32(len(r.groups))
	r.groups = append(r.groups, group)
	for rest := group; len(rest) > 0; {
		offset := uint32(len(group) - len(rest))
		e, behind, ok := decodeEntry(rest)
		if !ok {
			return fmt.Errorf("%w: recent entries that can't be read", ErrDamaged)
		}
		rest = behind
		h := r.hash(e.account, e.lookupPrefix())
		before, ok := r.heads[h]
		if !ok {
			before = -1
		}
		r.heads[h] = int32(len(r.refs))
		r.refs = append(r.refs, entryRef{number, offset, before})
	}
	return nil
}

// entryAt is the one at a spot.
func (r *indexBuffer) entryAt(s entryRef) entry {
	e, _, _ := decodeEntry(r.groups[s.group][s.offset:]) // add has read it
	return e
}

// withPrefix are the entries whose prefix is that one, the last first. Whoever ranges over
// them holds the mutex; the octets stay as they are.
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
