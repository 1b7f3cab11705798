package sync

import (
	"slices"

	"archiverd/internal/uid"
	"archiverd/state"
)

// claim is the messages of a mailbox that a worker is downloading. Whoever finds what
// may be the same message in another mailbox waits until it is in the archive, and
// then compares again: a server that shows one message in many mailboxes sends it
// once.
type claim struct {
	mailbox *mailboxRun // constant

	// Guarded by queue.mu.
	keys  []state.Key
	ended bool
}

// claim looks up which messages of a piece the archive may have, and claims the
// others. Those that another mailbox has claimed are queued again, once, since they may
// be other messages after all, and taken out of the piece. waiting is how many workers
// have work.
//
// lookUp is called under q.mu: a claim ends only after its messages can be looked up.
func (q *queue) claim(t *task, keys map[uint32]state.Key, lookUp func(map[uint32]state.Key) (map[uint32][]state.Candidate, error)) (
	c *claim, candidates map[uint32][]state.Candidate, waiting int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	candidates, err = lookUp(keys)
	if err != nil {
		return nil, nil, 0, err
	}
	c = &claim{mailbox: t.mailbox}
	var claimed uid.Set // by another mailbox
	var waitsFor []*claim
	for u := range t.uids.All() {
		k, ok := keys[u]
		if !ok || len(candidates[u]) > 0 {
			continue
		}
		switch other := q.claims[k]; {
		case other == nil:
			q.claims[k] = c
			c.keys = append(c.keys, k)
		case other.mailbox != t.mailbox && t.waitsFor == nil && t.order == orderNormal:
			claimed.Add(u)
			if !slices.Contains(waitsFor, other) {
				waitsFor = append(waitsFor, other)
			}
		}
	}
	if !claimed.Empty() {
		t.uids = t.uids.Subtract(claimed)
		q.insert(task{mailbox: t.mailbox, snapshot: t.snapshot, uids: claimed, metadata: t.metadata, skipMatching: t.skipMatching, waitsFor: waitsFor})
		waiting = q.waiting()
	}
	return c, candidates, waiting, nil
}

// isReady reports, under queue.mu, whether the task waits for no claim.
func (t *task) isReady() bool {
	return !slices.ContainsFunc(t.waitsFor, func(c *claim) bool { return !c.ended })
}

// endClaimsAfter ends claims when all that was received for them is committed: with
// the worker's open batch, or the last one submitted.
func (w *worker) endClaimsAfter(claims ...*claim) {
	claims = slices.DeleteFunc(claims, func(c *claim) bool { return c == nil })
	if w.batch != nil {
		w.claims = append(w.claims, claims...)
		return
	}
	w.run.startWorkers(w.run.queue.endClaimsAfter(w.last, claims))
}

// endClaimsAfter ends claims now, or if b is not committed yet then with it. b may be
// nil. It returns how many workers have work.
func (q *queue) endClaimsAfter(b *submittedBatch, claims []*claim) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b != nil && !b.committed {
		b.claims = append(b.claims, claims...)
		return 0
	}
	return q.endClaims(claims)
}

// batchDone ends the claims that wait for a batch, and returns how many workers have
// work.
func (q *queue) batchDone(b *submittedBatch) (waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b.committed = true
	return q.endClaims(b.claims)
}

// endClaims ends claims with q.mu locked.
func (q *queue) endClaims(claims []*claim) (waiting int) {
	if len(claims) == 0 {
		return 0
	}
	for _, c := range claims {
		c.ended = true
		for _, k := range c.keys {
			delete(q.claims, k)
		}
	}
	q.cond.Broadcast()
	return q.waiting()
}
