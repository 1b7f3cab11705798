// Package quota counts the octets that an account receives, and limits those of any 24
// hours. The state database stores the counts, so that the limit holds across runs
// and restarts. The package estimates from them when a run ends. It does not limit the
// rate of a connection.
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

// Quota is how many octets one account may receive in any 24 hours. All connections of
// a run share it; its methods may be called from several goroutines. Without a limit
// it only counts.
type Quota struct {
	// Received counts octets from the network that Flush has not stored yet.
	// Connections add to it.
	Received atomic.Int64

	account   string
	limit     int64 // octets in any 24 hours; 0: no limit
	maxBodies int64 // the part of limit that bodies may use
	db        *state.DB
	now       func() time.Time

	mu       sync.Mutex
	cond     *sync.Cond // on mu; signalled when reserved octets are given back
	reserved int64      // under mu: octets of all reservations
}

// New returns the quota of an account. limit is in octets; 0: no limit.
func New(account string, limit int64, db *state.DB, now func() time.Time) *Quota {
	q := &Quota{account: account, limit: limit, maxBodies: maxBodies(limit), db: db, now: now}
	q.cond = sync.NewCond(&q.mu)
	return q
}

// maxBodies returns how many octets of a daily limit bodies may use. The rest is for
// replies whose length is not known before they arrive: flags and sizes.
func maxBodies(limit int64) int64 { return limit - limit/20 }

// ExceededError is returned when the octets of the last 24 hours reach the limit.
type ExceededError struct {
	Limit int64 // octets in any 24 hours
	Need  int64 // octets that must be free before the run continues; 0: not known
}

func (e *ExceededError) Error() string {
	return fmt.Sprintf("daily limit of %s reached", humanize.Bytes(uint64(e.Limit)))
}

// Flush adds the octets in Received to the database's counters, which the next commit
// makes durable, and returns the traffic of the account.
func (q *Quota) Flush() (state.Traffic, error) {
	now := q.now()
	n := q.Received.Swap(0)
	if err := q.db.AddTraffic(q.account, now, n); err != nil {
		q.Received.Add(n)
		return nil, err
	}
	return q.db.Traffic(q.account, now)
}

// Check returns an [*ExceededError] if the account may receive nothing now.
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

// FreeAt returns when need octets may be received. It counts need as a twentieth of the
// limit at least, so that no run starts for a few messages, and as nine tenths at most,
// which are free after a day without traffic.
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

// Reservation is the octets reserved for one FETCH. It is owned by one goroutine, which
// calls Release at the end.
type Reservation struct {
	quota  *Quota
	octets int64 // still reserved
}

// Reserve reserves octets for the first messages of set, as many as fit, and returns
// those messages. cost returns the octets that a message takes. If none fits, Reserve
// waits for other reservations to end; without any it returns an [*ExceededError]. It
// notices that ctx is done only when a reservation ends.
//
// A message larger than the limit is allowed by itself when half of the limit is free:
// otherwise it would never be fetched.
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

// fitting returns the first messages of set that take at most free octets together,
// the octets that they take, and the octets that the first message of set takes.
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

// Use gives back the octets reserved for a message that has been received: Received
// counts them now.
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
