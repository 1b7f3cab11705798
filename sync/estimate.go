package sync

import (
	"math"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/state"
)

// Estimate is what is left to fetch, and when the archive may be complete: as
// far as the server's counters tell, at the speed of the run, with the mean size of
// its messages, within the limits.
type Estimate struct {
	Messages int           `json:"messages"`        // that are left
	Octets   int64         `json:"octets"`          // of them
	Speed    int64         `json:"speed"`           // octets per second
	Daily    int64         `json:"daily,omitempty"` // octets a day, where the daily limit decides
	Takes    time.Duration `json:"takes_ns"`        // from now on
	Done     time.Time     `json:"done"`
}

// String says how long it takes and why: "about 3 days, at 2.5 GB a day".
func (e *Estimate) String() string { return e.Time() + ", at " + e.Pace() }

// Pace is the speed that decides.
func (e *Estimate) Pace() string {
	if e.Daily > 0 {
		return humanize.Bytes(uint64(e.Daily)) + " a day"
	}
	return humanize.IBytes(uint64(e.Speed)) + "/s"
}

// Time says how long it takes.
func (e *Estimate) Time() string {
	of := func(unit time.Duration, word string) string {
		return "about " + english.Plural(int(math.Round(float64(e.Takes)/float64(unit))), word, "")
	}
	switch d := e.Takes; {
	case d >= farthest:
		return "years"
	case d >= 36*time.Hour:
		return of(24*time.Hour, "day")
	case d >= 90*time.Minute:
		return of(time.Hour, "hour")
	case d >= 90*time.Second:
		return of(time.Minute, "minute")
	}
	return "about a minute"
}

// Before a run has received for so long, its speed is not known.
const measured = 3 * time.Second

// estimate is that of a run under way.
func (j *Job) estimate(p Progress) *Estimate {
	if p.began.IsZero() || p.Stage == "done" || p.Octets == p.first {
		return nil
	}
	now := j.Now()
	took := now.Sub(p.began)
	if took < measured {
		return nil
	}
	e := &Estimate{Messages: p.Messages - p.Received, Speed: perSecond(p.Octets-p.first, took)}
	e.Octets = share(p.Octets, p.Received, e.Messages)
	t, err := j.Store.State.Traffic(j.Account.Name, now)
	if err != nil {
		return nil
	}
	return e.finish(now, now, t, j.Account.Rate, j.Account.DailyLimit)
}

// EstimateRest is the estimate for what a run left to the next, from what it
// measured, with the account's limits (0: none); nil if it left nothing, or
// received nothing to go by.
func EstimateRest(run *state.Run, t state.Traffic, rate, dailyLimit int64, now time.Time) *Estimate {
	if run.Resumes.IsZero() || run.Sum.Octets == 0 || run.Sum.Elapsed <= 0 {
		return nil
	}
	e := &Estimate{Messages: run.Sum.Missing, Speed: perSecond(run.Sum.Octets, run.Sum.Elapsed)}
	e.Octets = share(run.Sum.Octets, run.Sum.Added, e.Messages)
	start := now
	if run.Resumes.After(now) {
		start = run.Resumes
	}
	return e.finish(now, start, t, rate, dailyLimit)
}

func perSecond(octets int64, took time.Duration) int64 {
	return int64(float64(octets) / took.Seconds())
}

// share is the octets of n messages if they are like these.
func share(octets int64, messages, n int) int64 {
	return int64(float64(octets) / float64(max(1, messages)) * float64(n))
}

// farthest is how far an estimate looks.
const farthest = 10 * 365 * 24 * time.Hour

// finish works out when what is left will be there, if it goes on at start. t
// is what was received so far. nil: nothing is left, or nothing is known of it.
func (e *Estimate) finish(now, start time.Time, t state.Traffic, rate, dailyLimit int64) *Estimate {
	if rate > 0 {
		e.Speed = min(e.Speed, rate)
	}
	if e.Messages <= 0 || e.Speed <= 0 || e.Octets <= 0 {
		return nil
	}
	at := start
	for left := e.Octets; left > 0 && at.Sub(now) < farthest; {
		n := min(left, e.Speed*3600)
		if dailyLimit > 0 {
			room := roomOf(dailyLimit)
			free := room - t.OctetsInDay(at)
			if free <= room/20 && free < left { // as allowance.resumes has it
				e.Daily = dailyLimit
				at = t.TimeBelow(at, room-room/20-1)
				continue
			}
			n = min(n, free)
		}
		t = t.Add(at, n)
		left -= n
		at = at.Add(time.Duration(float64(n) / float64(e.Speed) * float64(time.Second)))
	}
	e.Done, e.Takes = at.UTC().Truncate(time.Second), min(at.Sub(now), farthest)
	return e
}
