// Package quota counts the octets that an account receives, and enforces a limit
// on those of any 24 hours. The counts are kept in the state database, so that
// the limit holds over runs and processes.
package quota

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/uid"
	"archiverd/state"
)

// Quota is the octets that one account may receive in 24 hours. All connections
// of a run share it. Without a limit it only counts.
type Quota struct {
	// Received counts octets from the network that Flush has not stored yet.
	// Connections add to it.
	Received atomic.Int64

	account   string
	limit     int64 // octets in any 24 hours; 0: no limit
	maxBodies int64 // of them, the octets that bodies may fill
	db        *state.DB
	now       func() time.Time

	mu       sync.Mutex
	cond     *sync.Cond // a reservation ended
	reserved int64      // under mu: octets of bodies that are being fetched
}

// New returns the quota of an account. limit is in octets; 0: no limit.
func New(account string, limit int64, db *state.DB, now func() time.Time) *Quota {
	q := &Quota{account: account, limit: limit, maxBodies: maxBodies(limit), db: db, now: now}
	q.cond = sync.NewCond(&q.mu)
	return q
}

// maxBodies returns how many octets of a daily limit bodies may fill. The rest is
// for replies whose length is not known before they arrive: flags and sizes.
func maxBodies(limit int64) int64 { return limit - limit/20 }

// ExceededError is returned when the quota of the day is used up.
type ExceededError struct {
	Limit int64 // octets in any 24 hours
	Need  int64 // octets that must be free to go on; 0: not known
}

func (e *ExceededError) Error() string {
	return fmt.Sprintf("daily limit of %s reached", humanize.Bytes(uint64(e.Limit)))
}

// Flush moves what was received into the database's counters, which the next
// commit makes durable, and returns the traffic of the account.
func (q *Quota) Flush() (state.Traffic, error) {
	now := q.now()
	n := q.Received.Swap(0)
	if err := q.db.AddTraffic(q.account, now, n); err != nil {
		q.Received.Add(n)
		return nil, err
	}
	return q.db.Traffic(q.account, now)
}

// Check returns an [*ExceededError] if nothing may be received now.
func (q *Quota) Check() error {
	until, err := q.ExceededUntil()
	if err == nil && !until.IsZero() {
		err = &ExceededError{Limit: q.limit}
	}
	return err
}

// ExceededUntil returns when the account may receive again; zero: it may now.
func (q *Quota) ExceededUntil() (time.Time, error) {
	t, err := q.Flush()
	if err != nil || q.limit == 0 || t.OctetsInDay(q.now()) < q.maxBodies {
		return time.Time{}, err
	}
	return q.freeAt(t, 0), nil
}

// FreeAt returns when need octets may be received: a twentieth of a day's octets
// at least, so that runs do not start for a few messages, and at most what is
// free after a day without traffic.
func (q *Quota) FreeAt(need int64) (time.Time, error) {
	t, err := q.Flush()
	if err != nil {
		return time.Time{}, err
	}
	return q.freeAt(t, need), nil
}

func (q *Quota) freeAt(t state.Traffic, need int64) time.Time {
	need = min(max(need, q.maxBodies/20), q.maxBodies/10*9)
	return t.TimeBelow(q.now(), q.maxBodies-need)
}

// Reservation is the octets reserved for one FETCH. One goroutine uses it. It
// must be released, which gives back what was not used.
type Reservation struct {
	quota  *Quota
	octets int64 // still reserved
}

// Reserve reserves octets for the first messages of set, as many as fit, and
// returns those messages. cost returns the octets that a message takes. If none
// fits it waits while other reservations exist, and then returns an
// [*ExceededError]; it waits until a reservation ends, also after ctx is done.
//
// A message larger than the limit is allowed by itself when half of a day is
// free: otherwise it would never be fetched.
func (q *Quota) Reserve(ctx context.Context, set uid.Set, cost func(uint32) int64) (part uid.Set, r *Reservation, err error) {
	r = &Reservation{quota: q}
	if q.limit == 0 {
		return set, r, nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		t, err := q.Flush()
		if err != nil {
			return uid.Set{}, r, err
		}
		part, octets, first := q.fitting(set, cost, q.maxBodies-t.OctetsInDay(q.now())-q.reserved)
		switch {
		case !part.Empty():
			r.octets = octets
			q.reserved += octets
			return part, r, nil
		case q.reserved == 0:
			return part, r, &ExceededError{q.limit, first}
		case ctx.Err() != nil:
			return part, r, context.Cause(ctx)
		}
		q.cond.Wait()
	}
}

// fitting returns the first messages of set that take at most free octets, what
// they take together, and what the first of all takes.
func (q *Quota) fitting(set uid.Set, cost func(uint32) int64, free int64) (part uid.Set, octets, first int64) {
	for u := range set.All() {
		c := cost(u)
		if part.Empty() {
			first = c
		}
		isOversized := part.Empty() && c > q.maxBodies && free >= q.maxBodies/2
		if octets+c > free && !isOversized {
			break
		}
		part.Add(u)
		octets += c
	}
	return part, octets, first
}

// Use gives back the octets reserved for a message that has been received: they
// are counted in Received now.
func (r *Reservation) Use(octets int64) { r.giveBack(min(octets, r.octets)) }

// Release gives back all octets that were not used.
func (r *Reservation) Release() { r.giveBack(r.octets) }

func (r *Reservation) giveBack(octets int64) {
	r.quota.mu.Lock()
	defer r.quota.mu.Unlock()
	r.octets -= octets
	r.quota.reserved -= octets
	r.quota.cond.Broadcast()
}
