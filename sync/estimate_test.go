package sync

import (
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/testing/hostile"
	"archiverd/internal/testing/world"
	"archiverd/state"
)

// pausedServer is a server that stops once it has sent 10 bodies, and calls then.
func pausedServer(t *testing.T, boxes []hostile.Mailbox, then func()) *world.Server {
	t.Helper()
	var n atomic.Int64
	return world.Serve(t, hostile.Options{Mailboxes: boxes, Script: func(s *hostile.Session, cmd hostile.Command) bool {
		if !world.WantsBodies(cmd) {
			return false
		}
		for i, m := range s.Open.Messages {
			if !world.Requests(cmd, m.UID) {
				continue
			}
			s.Fetched(i, "UID BODY[]")
			if n.Add(1) == 10 {
				s.Send("") // all of it
				then()
			}
		}
		s.Send(cmd.Tag + " OK done\r\n")
		return true
	}})
}

// TestEstimateOfARun: a run under way estimates what is missing as soon as its speed is
// known, and a run that ended early how long the rest takes.
func TestEstimateOfARun(t *testing.T) {
	h := newTestbed(t)
	boxes := []hostile.Mailbox{heavy("INBOX", 7, alike(40, 20_000)...)}
	clock := newCalendar()
	var j *Job
	var early, late atomic.Pointer[progress.Estimate]
	s := pausedServer(t, boxes, func() {
		for end := time.Now().Add(soon); j.Progress().Received < 10 && time.Now().Before(end); {
			runtime.Gosched()
		}
		early.Store(j.Progress().Estimate)
		clock.set(clock.now().Add(9 * time.Second))
		late.Store(j.Progress().Estimate)
	})
	acc := world.Alice(s.Address())
	acc.Connections, acc.DailyLimit = 1, 500_000
	j = &Job{Account: acc, Committer: h.Committer, Log: h.Log, Now: clock.now}
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
	checkRest(t, h, run, clock.now())
}

// checkRest fails unless the rest of a run that the daily limit ended is estimated to
// take a day.
func checkRest(t *testing.T, h *testbed, run state.Run, now time.Time) {
	t.Helper()
	tr, err := h.Committer.State.Traffic("alice", now)
	if err != nil {
		t.Fatal(err)
	}
	limits := quota.Limits{Daily: 500_000}
	e := quota.EstimateRest(&run, tr, limits, now)
	if e == nil || e.Messages != run.Sum.Missing || e.Done.Before(run.Resumes) || e.Takes < 24*time.Hour || e.Takes > 26*time.Hour {
		t.Errorf("for the rest: %+v: %v", e, e)
	}
	run.Resumes = time.Time{}
	if e := quota.EstimateRest(&run, tr, limits, now); e != nil {
		t.Errorf("of a run that did not end early: %v", e)
	}
}
