package state

import (
	"bytes"
	"cmp"
	"slices"

	"go.etcd.io/bbolt"
)

// sortedEntries returns all entries in the order of the indexes, and of entries with the
// same key the newest only.
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

// merge moves the entries into the indexes if there are more than limit, in several
// transactions. They stay in bufferBucket until the last one: after a crash all are
// merged again.
func (r *indexBuffer) merge(limit int, update updateFunc) error {
	if err := r.rLockLoaded(); err != nil {
		return err
	}
	n := len(r.refs)
	r.mu.RUnlock()
	if n <= limit {
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

// entriesPerTransaction returns how many of n sorted entries one transaction merges: about
// as many as change 500 pages, because bbolt holds every changed page in memory. An index
// has about half of all pages, and neighbouring entries share them evenly.
func entriesPerTransaction(tx *bbolt.Tx, n int) int {
	const maxPages = 500
	pages := int(tx.Size()) / tx.DB().Info().PageSize / 2
	return max(maxPages, maxPages*n/max(pages, 1))
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
	b.FillPercent = 0.9 // dates mostly ascend
	return b.Put(e.key, e.value)
}
