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

// The bucket index_buffer has what the indexes of sums and of sizes and dates have yet
// to take in: by number, the entries of one transaction each. They count as if they were
// there, since whoever looks something up asks recent too.
//
// Sums come in no order, and dates often do not: put where it belongs, each message
// would cost a page of the one index and a page of the other. Some thousands, put
// there in their order, share pages.

// recentMost is how many entries are left in it, two for most messages.
const recentMost = 20_000

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

// cutEntry reads the first entry of b, of which it holds parts, and returns what follows.
func cutEntry(b []byte) (e entry, rest []byte, ok bool) {
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

// prefix is how much of the entry's key it is looked up by.
func (e *entry) prefix() []byte {
	if e.account == "" {
		return e.key[:min(sumLength, len(e.key))]
	}
	return e.key[:min(keyLength, len(e.key))]
}

// recent are the entries of bufferBucket in memory, some 70 octets each. One who looks
// up holds the mutex for reading until the transaction has begun that he reads the
// indexes in: what has left the one is then in the others.
type recent struct {
	bolt *bbolt.DB
	most int // entries that are left, recentMost but in tests

	mu     gosync.RWMutex
	loaded bool
	seed   maphash.Seed
	groups [][]byte         // one a transaction
	at     []spot           // of each entry, as they came
	last   map[uint64]int32 // by what hashes of prefixes are, the last such in at
}

// spot is where an entry begins, and which one before has the same hash, -1 for none.
type spot struct {
	group, offset uint32
	before        int32
}

func newRecent(bolt *bbolt.DB) *recent {
	return &recent{bolt: bolt, most: recentMost, seed: maphash.MakeSeed(), last: map[uint64]int32{}}
}

// update runs a write transaction.
func (r *recent) update(fn func(*bbolt.Tx) error) error { return update(r.bolt, fn) }

func (r *recent) hash(account string, prefix []byte) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.WriteString(account)
	h.WriteByte(0) // which no account's directory has
	h.Write(prefix)
	return h.Sum64()
}

// read reads the entries, if they are not known, and holds the mutex for reading.
func (r *recent) read() error {
	for r.mu.RLock(); !r.loaded; r.mu.RLock() {
		r.mu.RUnlock()
		if err := r.load(); err != nil {
			return err
		}
	}
	return nil
}

func (r *recent) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	r.drop() // half of them
	err := view(r.bolt, func(tx *bbolt.Tx) error {
		return tx.Bucket(bufferBucket).ForEach(func(_, group []byte) error { return r.add(slices.Clone(group)) })
	})
	r.loaded = err == nil
	return err
}

// drop forgets the entries.
func (r *recent) drop() {
	r.groups, r.at = nil, nil
	clear(r.last)
}

// updater runs a write transaction.
type updater func(func(*bbolt.Tx) error) error

// fold folds changes into the database in one transaction, and puts the entries in
// their places where there are too many.
func (r *recent) fold(update updater, changes ...Change) error {
	var group []byte
	err := update(func(tx *bbolt.Tx) (err error) {
		for _, c := range changes {
			if group, err = apply(tx, c, group); err != nil {
				return fmt.Errorf("apply to %s: %w", c.Mailbox.Dir, err)
			}
		}
		return putRecent(tx, group)
	})
	if err == nil {
		err = r.committed(group)
	}
	if err != nil {
		return err
	}
	return r.settle(r.most, update)
}

// putRecent stores the entries of a transaction in it.
func putRecent(tx *bbolt.Tx, group []byte) error {
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

// committed takes the entries of a transaction that has been committed.
func (r *recent) committed(group []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded || len(group) == 0 {
		return nil // it will be read
	}
	return r.add(group)
}

// add takes the entries of a transaction, under the mutex.
func (r *recent) add(group []byte) error {
	number := uint32(len(r.groups))
	r.groups = append(r.groups, group)
	for rest := group; len(rest) > 0; {
		offset := uint32(len(group) - len(rest))
		e, behind, ok := cutEntry(rest)
		if !ok {
			return fmt.Errorf("%w: recent entries that can't be read", ErrDamaged)
		}
		rest = behind
		h := r.hash(e.account, e.prefix())
		before, ok := r.last[h]
		if !ok {
			before = -1
		}
		r.last[h] = int32(len(r.at))
		r.at = append(r.at, spot{number, offset, before})
	}
	return nil
}

// entry is the one at a spot.
func (r *recent) entry(s spot) entry {
	e, _, _ := cutEntry(r.groups[s.group][s.offset:]) // add has read it
	return e
}

// find are the entries whose prefix is that one, the last first. Whoever ranges over
// them holds the mutex; the octets stay as they are.
func (r *recent) find(account string, prefix []byte) iter.Seq[entry] {
	return func(yield func(entry) bool) {
		i, ok := r.last[r.hash(account, prefix)]
		for ; ok && i >= 0; i = r.at[i].before {
			if e := r.entry(r.at[i]); e.account == account && bytes.Equal(e.prefix(), prefix) && !yield(e) {
				return
			}
		}
	}
}
