package quota

import (
	"time"

	"archiverd/internal/progress"
	"archiverd/state"
)

// Limits are the limits of an account that an estimate takes into account; 0: no limit.
type Limits struct {
	Rate  int64 // octets per second
	Daily int64 // octets in any 24 hours
}

// EstimateRun returns the estimate for a run under way. t is the account's traffic so
// far. nil: the speed is not known yet, or no message is missing.
func EstimateRun(p progress.Progress, t state.Traffic, limits Limits, now time.Time) *progress.Estimate {
	speed, ok := p.Speed(now)
	if !ok {
		return nil
	}
	e := &progress.Estimate{Messages: p.Messages - p.Received, Speed: speed}
	e.Octets = extrapolate(p.Octets, p.Received, e.Messages)
	return complete(e, now, now, t, limits)
}

// EstimateRest returns the estimate for the messages that are missing after a run, at
// the speed of that run. nil: the run will not be resumed, or received nothing to
// measure by.
func EstimateRest(run *state.Run, t state.Traffic, limits Limits, now time.Time) *progress.Estimate {
	if run.Resumes.IsZero() || run.Sum.Octets == 0 || run.Sum.Elapsed <= 0 {
		return nil
	}
	speed := int64(float64(run.Sum.Octets) / run.Sum.Elapsed.Seconds())
	e := &progress.Estimate{Messages: run.Sum.Missing, Speed: speed}
	e.Octets = extrapolate(run.Sum.Octets, run.Sum.Added, e.Messages)
	start := now
	if run.Resumes.After(now) {
		start = run.Resumes
	}
	return complete(e, now, start, t, limits)
}

// extrapolate returns the octets of n messages whose mean size is octets/messages.
func extrapolate(octets int64, messages, n int) int64 {
	return int64(float64(octets) / float64(max(1, messages)) * float64(n))
}

// complete sets the times of an estimate for a run that continues at start. It
// simulates the traffic of the coming days hour by hour. t is the traffic so far. nil:
// no message is missing, or the speed is not known.
func complete(e *progress.Estimate, now, start time.Time, t state.Traffic, limits Limits) *progress.Estimate {
	if limits.Rate > 0 {
		e.Speed = min(e.Speed, limits.Rate)
	}
	if e.Messages <= 0 || e.Speed <= 0 || e.Octets <= 0 {
		return nil
	}
	at := start
	for missing := e.Octets; missing > 0 && at.Sub(now) < progress.MaxTime; {
		n := min(missing, e.Speed*3600)
		if limits.Daily > 0 {
			bodies := maxBodies(limits.Daily)
			free := bodies - t.OctetsInDay(at)
			if free <= bodies/20 && free < missing { // freeAt waits until as much is free
				e.Daily = limits.Daily
				at = t.TimeBelow(at, bodies-bodies/20-1)
				continue
			}
			n = min(n, free)
		}
		t = t.Add(at, n)
		missing -= n
		at = at.Add(time.Duration(float64(n) / float64(e.Speed) * float64(time.Second)))
	}
	e.Done, e.Takes = at.UTC().Truncate(time.Second), min(at.Sub(now), progress.MaxTime)
	return e
}
