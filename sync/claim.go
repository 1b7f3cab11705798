package sync

import (
	"slices"

	"archiverd/archive"
	"archiverd/internal/uid"
	"archiverd/state"
)

// claim is what a worker is downloading of a mailbox. Whoever finds what may be
// the same message in another mailbox waits until it is in the archive, and looks
// again: a server that shows one message in many mailboxes sends it once.
type claim struct {
	box *box

	// Under the round's mutex.
	keys []state.Key
	over bool
}

// claim returns what the archive knows of a piece, and lays a claim on the rest of
// it. What others are downloading is put off, once: that may be something else
// after all. The archive is asked under the mutex, for what others have claimed
// is known there before their claim is over.
func (r *round) claim(t *task, keys map[uint32]state.Key) (*claim, map[uint32][]state.Candidate, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, err := r.j.Committer.State.Candidates(archive.Escape(r.j.Account.Name), keys)
	if err != nil {
		return nil, nil, err
	}
	c := &claim{box: t.box}
	var later uid.Set
	var after []*claim
	for u := range t.want.All() {
		k, ok := keys[u]
		if !ok || len(known[u]) > 0 {
			continue
		}
		switch other := r.claims[k]; {
		case other == nil:
			r.claims[k] = c
			c.keys = append(c.keys, k)
		case other.box != t.box && t.after == nil && t.late == 0:
			later.Add(u)
			if !slices.Contains(after, other) {
				after = append(after, other)
			}
		}
	}
	if !later.Empty() {
		t.want = t.want.Subtract(later)
		r.put(task{box: t.box, piece: true, generation: t.generation, want: later, metas: t.metas, blind: t.blind, after: after})
	}
	return c, known, nil
}

// ready says, under the round's mutex, whether nothing is left that the task
// waits for.
func (t *task) ready() bool {
	return !slices.ContainsFunc(t.after, func(c *claim) bool { return !c.over })
}

// yield ends claims when all that was received for them is committed: with the
// worker's batch, or the last one on its way.
func (w *worker) yield(claims ...*claim) {
	claims = slices.DeleteFunc(claims, func(c *claim) bool { return c == nil })
	if w.batch != nil {
		w.claims = append(w.claims, claims...)
		return
	}
	w.r.mu.Lock()
	defer w.r.mu.Unlock()
	if w.last != nil && !w.last.done {
		w.last.claims = append(w.last.claims, claims...)
		return
	}
	w.r.unclaim(claims)
}

// ended ends what rides on a batch that is committed, or not.
func (r *round) ended(s *submitted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.done = true
	r.unclaim(s.claims)
}

// unclaim ends claims, under the round's mutex.
func (r *round) unclaim(claims []*claim) {
	if len(claims) == 0 {
		return
	}
	for _, c := range claims {
		c.over = true
		for _, k := range c.keys {
			delete(r.claims, k)
		}
	}
	r.cond.Broadcast()
	r.grow()
}
