package state

import (
	"bytes"
	"cmp"
	"slices"

	"go.etcd.io/bbolt"
)

// sortedEntries are all entries in the order of their indexes; of those with one key the
// last alone, which counts.
func (r *indexBuffer) sortedEntries() []entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]entry, 0, len(r.refs))
	for _, s := range r.refs {
		all = append(all, r.entryAt(s))
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.account, b.account), bytes.Compare(a.key, b.key))
	})
	return slices.CompactFunc(all, func(a, b entry) bool { return a.account == b.account && bytes.Equal(a.key, b.key) })
}

// merge puts the entries in their places, if there are more than most, in several
// transactions of update's. Until the last they stay in bufferBucket as well: a crash
// costs the work alone.
func (r *indexBuffer) merge(most int, update updateFunc) error {
	if err := r.rLockLoaded(); err != nil {
		return err
	}
	n := len(r.refs)
	r.mu.RUnlock()
	if n <= most {
		return nil
	}
	entries := r.sortedEntries()
	for len(entries) > 0 {
		err := update(func(tx *bbolt.Tx) error {
			part := min(len(entries), entriesPerTransaction(tx, n))
			for _, e := range entries[:part] {
				if err := e.putIn(tx); err != nil {
					return err
				}
			}
			if entries = entries[part:]; len(entries) > 0 {
				return nil
			}
			if err := tx.DeleteBucket(bufferBucket); err != nil {
				return err
			}
			_, err := tx.CreateBucket(bufferBucket)
			return err
		})
		if err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reset()
	return nil
}

// entriesPerTransaction is how many of n entries, in their order, one transaction takes: bbolt holds
// every page that it touches in memory. No more than about half of all pages are of an index,
// and so many neighbours lie on no more pages than are their share.
func entriesPerTransaction(tx *bbolt.Tx, n int) int {
	const most = 500
	pages := int(tx.Size()) / tx.DB().Info().PageSize / 2
	return max(most, most*n/max(pages, 1))
}

// putIn puts the entry into its index.
func (e *entry) putIn(tx *bbolt.Tx) error {
	if e.account == "" {
		return tx.Bucket(sumsBucket).Put(e.key, e.value)
	}
	b, err := tx.Bucket(candidatesBucket).CreateBucketIfNotExists([]byte(e.account))
	if err != nil {
		return err
	}
	b.FillPercent = 0.9 // dates ascend, mostly
	return b.Put(e.key, e.value)
}
