package sync

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/internal/testing/hostile"
	"archiverd/state"
)

// How long what is left takes, with each limit by itself and together.
func TestEstimate(t *testing.T) {
	now := newCalendar().now().Truncate(time.Hour)
	const GB = 1_000_000_000
	spent := state.Traffic{}.Add(now, 2*GB)
	for _, c := range []struct {
		name          string
		octets, speed int64
		t             state.Traffic
		start         time.Duration
		rate, daily   int64
		least, most   time.Duration
		want          string
	}{
		{"a moment", 1000, 1000, nil, 0, 0, 0, time.Second, time.Second, "about a minute, at 1000 B/s"},
		{"by its speed", 36 << 20, 10 << 10, nil, 0, 0, 0, time.Hour, 2 * time.Hour, "about 61 minutes, at 10 KiB/s"},
		{"by its rate", 100 * GB, 50 << 20, nil, 0, 1 << 20, 0, 26 * time.Hour, 27 * time.Hour, "about 26 hours, at 1.0 MiB/s"},
		{"a rate that is no limit", 36 << 20, 10 << 10, nil, 0, 1 << 20, 0, time.Hour, 2 * time.Hour, "about 61 minutes, at 10 KiB/s"},
		{"within the day", 1 * GB, 1 << 20, nil, 0, 0, 2 * GB, 15 * time.Minute, 17 * time.Minute, "about 16 minutes, at 1.0 MiB/s"},
		{"over some days", 7 * GB, 10 << 20, nil, 0, 0, 2500_000_000, 50 * time.Hour, 51 * time.Hour, "about 2 days, at 2.5 GB a day"},
		{"the day is spent", 3 * GB, 10 << 20, spent, 0, 0, 2 * GB, 50 * time.Hour, 51 * time.Hour, "about 2 days, at 2.0 GB a day"},
		{"the day is spent, and it is known when it goes on", 1 * GB, 10 << 20, spent, 25 * time.Hour, 0, 2 * GB, 25 * time.Hour, 26 * time.Hour, "about 25 hours, at 10 MiB/s"},
		{"a line slower than the limit", 86_400_000_000, 1000_000, nil, 0, 0, 100 * GB, 23 * time.Hour, 25 * time.Hour, "about 24 hours, at 977 KiB/s"},
		{"60 GB of Gmail", 60 * GB, 5 << 20, nil, 0, 0, 2 * GB, 31 * 24 * time.Hour, 33 * 24 * time.Hour, "about 32 days, at 2.0 GB a day"},
		{"never, as good as", 1 << 60, 1000, nil, 0, 0, 0, farthest, farthest, "years, at 1000 B/s"},
	} {
		e := (&Estimate{Messages: 1, Octets: c.octets, Speed: c.speed}).finish(now, now.Add(c.start), c.t, c.rate, c.daily)
		if e == nil || e.Takes < c.least || e.Takes > c.most || e.String() != c.want {
			t.Errorf("%s: %v, %+v, want %s", c.name, e, e, c.want)
		}
		if e != nil && e.Takes < farthest && !e.Done.Equal(now.Add(e.Takes).Truncate(time.Second)) {
			t.Errorf("%s: done at %v, in %v", c.name, e.Done, e.Takes)
		}
	}
	for name, e := range map[string]Estimate{"nothing left": {Octets: 1, Speed: 1}, "no speed": {Messages: 1, Octets: 1}, "no octets": {Messages: 1, Speed: 1}} {
		if got := e.finish(now, now, nil, 0, 0); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A run under way says what is left as soon as its speed is known, and a run that
// ended early what that will take.
func TestEstimateOfARun(t *testing.T) {
	h := newHouse(t)
	boxes := []hostile.Mailbox{heavy("INBOX", 7, alike(40, 20_000)...)}
	clock := newCalendar()
	var j *Job
	var early, late atomic.Pointer[Estimate]
	var n atomic.Int64
	s := serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !wantsBodies(cmd) {
			return false
		}
		for i, m := range s.Open.Messages {
			if !asked(cmd, m.UID) {
				continue
			}
			s.Fetched(i, "UID BODY[]")
			if n.Add(1) == 10 {
				s.Send("") // all of it
				for end := time.Now().Add(soon); j.Progress().Received < 10 && time.Now().Before(end); {
					runtime.Gosched()
				}
				early.Store(j.Progress().Estimate)
				clock.set(clock.now().Add(9 * time.Second))
				late.Store(j.Progress().Estimate)
			}
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}})
	acc := alice(s.Address())
	acc.Connections, acc.DailyLimit = 1, 500_000
	j = &Job{Account: acc, Store: h.store, Log: h.log, Now: clock.now}
	if j.Progress().Estimate != nil || j.Progress().DailyLimit != 500_000 {
		t.Errorf("before it: %+v", j.Progress())
	}
	run, err := h.runWith(t.Context(), j)
	if err == nil || run.Sum.Archived < 20 || run.Sum.Missing != 40-run.Sum.Archived {
		t.Fatalf("%v: %+v", err, run)
	}
	if early.Load() != nil {
		t.Errorf("an estimate out of nothing: %v", early.Load())
	}
	// 9 messages of 20 kB in 9 s
	if e := late.Load(); e == nil || e.Messages != 30 || e.Octets < 600_000 || e.Octets > 610_000 || e.Speed < 20_000 || e.Speed > 20_500 ||
		e.Daily != 500_000 || !strings.HasPrefix(e.String(), "about 24 hours, at 500 kB a day") {
		t.Errorf("in the middle: %v of %+v", e, j.Progress())
	}
	if e := j.Progress().Estimate; e != nil {
		t.Errorf("after it: %v", e)
	}
	tr, err := h.store.State.Traffic("alice", clock.now())
	if err != nil {
		t.Fatal(err)
	}
	e := EstimateRest(&run, tr, 0, 500_000, clock.now())
	if e == nil || e.Messages != run.Sum.Missing || e.Done.Before(run.Resumes) || e.Takes < 24*time.Hour || e.Takes > 26*time.Hour {
		t.Errorf("for the rest: %+v: %v", e, e)
	}
	run.Resumes = time.Time{}
	if e := EstimateRest(&run, tr, 0, 500_000, clock.now()); e != nil {
		t.Errorf("of a run that did not end early: %v", e)
	}
}
