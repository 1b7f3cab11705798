package sync

import (
	"context"
	"fmt"
	gosync "sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"archiverd/internal/uid"
	"archiverd/internal/wire"
	"archiverd/state"
)

// allowance is what an account may receive in a day. All connections of a run
// share it. Without a limit it counts only.
type allowance struct {
	account  string
	limit    int64 // octets in any 24 hours; 0: none
	room     int64 // of them, those that bodies may fill up
	db       *state.DB
	now      func() time.Time
	received atomic.Int64 // octets from the network that are not in the books yet

	mu       gosync.Mutex
	cond     *gosync.Cond
	reserved int64 // octets of bodies that are being fetched
}

func newAllowance(j *Job) *allowance {
	a := &allowance{account: j.Account.Name, limit: j.Account.DailyLimit, room: roomOf(j.Account.DailyLimit), db: j.Store.State, now: j.Now}
	a.cond = gosync.NewCond(&a.mu)
	return a
}

// roomOf is how far bodies may fill a daily limit: of what else is asked
// meanwhile, flags and sizes, nobody knows before how long the answers are.
func roomOf(limit int64) int64 { return limit - limit/20 }

// spentError is returned when the day's octets are spent.
type spentError struct {
	limit int64
	need  int64 // octets that are not there
}

func (e *spentError) Error() string {
	return fmt.Sprintf("daily limit of %s reached", humanize.Bytes(uint64(e.limit)))
}

// book takes what was received into the books, which the next commit stores.
func (a *allowance) book() (state.Traffic, error) {
	now := a.now()
	n := a.received.Swap(0)
	if err := a.db.AddTraffic(a.account, now, n); err != nil {
		a.received.Add(n)
		return nil, err
	}
	return a.db.Traffic(a.account, now)
}

// check says whether anything may be received at all.
func (a *allowance) check() error {
	t, err := a.book()
	if err == nil && a.limit > 0 && t.OctetsInDay(a.now()) >= a.room {
		err = &spentError{limit: a.limit}
	}
	return err
}

// cost is what a message takes from the network: its octets, what TLS adds, and
// the reply that they are in.
func cost(size int64) int64 { return size + size/64 + 200 }

// unknownSize is taken for the size of a message of which the server tells none.
const unknownSize = 1 << 20

func costOf(metas map[uint32]wire.Metadata, u uint32) int64 {
	if m := metas[u]; m.HasSize {
		return cost(max(0, m.Size))
	}
	return cost(unknownSize)
}

// spending is what is set aside for one FETCH. Its end gives back what was not used.
type spending struct {
	a    *allowance
	left int64
}

// afford sets aside what the first messages of set take, as many as there is
// room for. While others have set something aside it waits for what they leave.
// The error is a spentError if there is no room for the first.
//
// A message larger than the limit is let through alone when half of a day is
// free: else it would never be.
func (a *allowance) afford(ctx context.Context, set uid.Set, metas map[uint32]wire.Metadata) (part uid.Set, s *spending, err error) {
	s = &spending{a: a}
	if a.limit == 0 {
		return set, s, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		t, err := a.book()
		if err != nil {
			return uid.Set{}, s, err
		}
		free := a.room - t.OctetsInDay(a.now()) - a.reserved
		first := int64(0)
		for u := range set.All() {
			c := costOf(metas, u)
			if part.Empty() {
				first = c
			}
			if s.left+c > free && !(part.Empty() && c > a.room && free >= a.room/2) {
				break
			}
			part.Add(u)
			s.left += c
		}
		switch {
		case !part.Empty():
			a.reserved += s.left
			return part, s, nil
		case a.reserved == 0:
			return part, s, &spentError{a.limit, first}
		case ctx.Err() != nil:
			return part, s, context.Cause(ctx)
		}
		a.cond.Wait()
	}
}

// came gives back what was set aside for a message, which is in the books now.
func (s *spending) came(octets int64) { s.giveBack(min(octets, s.left)) }

func (s *spending) end() { s.giveBack(s.left) }

func (s *spending) giveBack(octets int64) {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	s.left -= octets
	s.a.reserved -= octets
	s.a.cond.Broadcast()
}

// resumes is when need octets may be received: a twentieth of a day's at the least,
// so that it is not spent on looking whether there is room, and at the most what
// is free behind a quiet day.
func (a *allowance) resumes(t state.Traffic, need int64) time.Time {
	need = min(max(need, a.room/20), a.room/10*9)
	return t.TimeBelow(a.now(), a.room-need)
}

// held says until when a run need not begin, zero if it may. last is the run before.
func (a *allowance) held(last []state.Run) (until time.Time, err error) {
	t, err := a.book()
	if err != nil || a.limit == 0 {
		return until, err
	}
	if t.OctetsInDay(a.now()) >= a.room {
		until = a.resumes(t, 0)
	}
	if len(last) > 0 && last[0].DailyLimit > 0 {
		if t := Resumes(last, a.limit, a.now()); t.After(until) {
			until = t
		}
	}
	return until, nil
}

// Resumes is until when an account is left alone by its last runs, newest first;
// zero: it is not. A daily limit that is another one now holds nobody back, nor
// does a time that only a clock that was wrong can have said.
func Resumes(runs []state.Run, dailyLimit int64, now time.Time) time.Time {
	if len(runs) == 0 || runs[0].DailyLimit > 0 && runs[0].DailyLimit != dailyLimit {
		return time.Time{}
	}
	if wait := runs[0].Resumes.Sub(now); wait <= 0 || wait > state.Day+time.Hour {
		return time.Time{}
	}
	return runs[0].Resumes
}
