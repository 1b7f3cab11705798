package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"
)

// soon is how long a test waits for an event that is due within a second or two.
const soon = 2 * time.Minute

// logMessages is a log handler that sends the messages of warnings and errors.
type logMessages chan string

func (logMessages) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (m logMessages) WithAttrs([]slog.Attr) slog.Handler         { return m }
func (m logMessages) WithGroup(string) slog.Handler              { return m }
func (m logMessages) Handle(_ context.Context, r slog.Record) error {
	select {
	case m <- r.Message:
	default:
	}
	return nil
}

// newScheduler starts a scheduler that stops at the end of the test. The test must run
// in a bubble of synctest, where time passes only while every goroutine waits.
func newScheduler(t *testing.T) (*Scheduler, logMessages) {
	t.Helper()
	log := make(logMessages, 100)
	ctx, cancel := context.WithCancel(t.Context())
	s := New(ctx, slog.New(log), time.Now)
	t.Cleanup(func() {
		cancel()
		s.Stop()
	})
	return s, log
}

func (s *Scheduler) mustSet(t *testing.T, plans ...Plan) {
	t.Helper()
	if err := s.Set(plans); err != nil {
		t.Fatal(err)
	}
}

// await receives from c. It fails the test if nothing is sent in time.
func await[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(soon):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// reportStart returns a run that sends the time of its start.
func reportStart(c chan<- time.Time) func(context.Context) {
	return func(context.Context) { c <- time.Now() }
}

// TestRunsWhenDue runs an account every second.
func TestRunsWhenDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		started := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: reportStart(started)})
		first := await(t, "the first run", started)
		if second := await(t, "the second run", started); second.Sub(first) < 500*time.Millisecond {
			t.Errorf("the second run started %v after the first", second.Sub(first))
		}
	})
}

// TestMissedRunStartsAtOnce sets a plan: a run starts if one was due since the last.
func TestMissedRunStartsAtOnce(t *testing.T) {
	const never = 1000 * time.Hour
	for _, c := range []struct {
		name, spec string
		last       time.Duration // from now
		starts     bool
	}{
		{"never run", "@yearly", never, true},
		{"missed", "@hourly", -2 * time.Hour, true},
		{"missed by @every", "@every 1h", -2 * time.Hour, true},
		{"not missed", "@yearly", 0, false},
		{"not missed by @every", "@every 8760h", 0, false},
		{"last run in the future", "@hourly", 48 * time.Hour, false},
		{"never due", "0 0 30 2 *", never, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newScheduler(t)
				started := make(chan time.Time, 10)
				plan := Plan{Account: "alice", Spec: c.spec, Run: reportStart(started)}
				if c.last != never {
					plan.Last = time.Now().Add(c.last)
				}
				s.mustSet(t, plan)
				if c.starts {
					await(t, "the run", started)
				}
				s.Stop()
				if n := len(started); n > 0 {
					t.Errorf("%d runs too many", n)
				}
			})
		})
	}
}

// TestSetAgainStartsNoRun sets the plans twice, as a reload of the configuration does:
// accounts that had a plan do not run at once.
func TestSetAgainStartsNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		started := make(chan time.Time, 10)
		plan := Plan{Account: "alice", Spec: "@yearly", Run: reportStart(started)}
		s.mustSet(t, plan)
		await(t, "the run", started)
		s.mustSet(t, plan)
		s.mustSet(t, plan, Plan{Account: "bob", Spec: "@yearly", Run: reportStart(started)})
		await(t, "bob's run", started)
		s.Stop()
		if n := len(started); n > 0 {
			t.Errorf("%d runs too many", n)
		}
	})
}

// TestFrequentSetDelaysNoRun sets the plans at shorter intervals than those of @every:
// the account runs all the same.
func TestFrequentSetDelaysNoRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		started := make(chan time.Time, 100)
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for end := time.After(soon); ; {
			select {
			case <-again.C:
				s.mustSet(t, Plan{Account: "alice", Spec: "@every 2s", Last: time.Now().Add(time.Hour), Run: reportStart(started)})
				continue
			case <-started:
			case <-end:
				t.Error("never due")
			}
			break
		}
	})
}

// TestOneRunAtATime: an account has no second run at the same time, even if Set removes
// and adds its plan meanwhile. Another account does not wait for it.
func TestOneRunAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newScheduler(t)
		var running, maxRunning atomic.Int64
		started, others, end := make(chan time.Time, 100), make(chan time.Time, 100), make(chan bool)
		alice := Plan{Account: "alice", Spec: "@every 1s", Run: func(context.Context) {
			maxRunning.Store(max(maxRunning.Load(), running.Add(1)))
			started <- time.Now()
			<-end
			running.Add(-1)
		}}
		bob := Plan{Account: "bob", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: reportStart(others)}
		s.mustSet(t, alice, bob)
		await(t, "the run", started)
		await(t, "the warning", log)
		s.mustSet(t, bob)
		if next := s.Next("alice"); !next.IsZero() {
			t.Errorf("an account without a plan is due at %v", next)
		}
		s.mustSet(t, alice, bob)
		await(t, "the warning", log)
		await(t, "bob's run", others)
		end <- true
		await(t, "the next run", started)
		s.mustSet(t)
		close(end)
		s.Stop()
		if maxRunning.Load() != 1 {
			t.Errorf("%d runs at once", maxRunning.Load())
		}
	})
}

// TestStartsAreSpread: accounts with the same schedule start at different times, and
// all within a minute.
func TestStartsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Hour) // a bubble starts at midnight, when @daily is due
		s, _ := newScheduler(t)
		for _, spec := range []string{"0 3 * * *", "@every 24h", "@daily"} {
			for _, n := range []int{1, 4, 60} {
				var plans []Plan
				for i := range n {
					plans = append(plans, Plan{Account: fmt.Sprint(i), Spec: spec, Last: time.Now().Add(48 * time.Hour), Run: func(context.Context) { t.Error("it was not due") }})
				}
				s.mustSet(t, plans...)
				var times []time.Time
				for _, p := range plans {
					times = append(times, s.Next(p.Account))
				}
				slices.SortFunc(times, time.Time.Compare)
				if times[0].IsZero() || times[n-1].Sub(times[0]) > time.Minute {
					t.Errorf("%d of %s start from %v to %v", n, spec, times[0], times[n-1])
				}
				for i := 1; i < n; i++ {
					if times[i].Sub(times[i-1]) < 500*time.Millisecond {
						t.Errorf("%d of %s: %v and %v", n, spec, times[i-1], times[i])
					}
				}
			}
		}
	})
}

// TestNextTime has schedules as people write them.
func TestNextTime(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ spec, now, want string }{
		{"30 4 * * *", "2026-11-22 18:30:00", "2026-11-23 04:30:00"},
		{"CRON_TZ=Asia/Tokyo 30 4 * * *", "2026-11-22 18:30:00", "2026-11-22 19:30:00"},
		{"CRON_TZ=Europe/Berlin 30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00"},
		{"@hourly", "2026-11-22 18:30:00", "2026-11-22 19:00:00"},
		{"@every 6h", "2026-11-22 18:30:00", "2026-11-23 00:00:00"},
		{"@every 6h", "2026-11-23 00:00:00", "2026-11-23 06:00:00"},
		{"0 0 30 2 *", "2026-11-22 18:30:00", ""},
	} {
		schedule, err := cron.ParseStandard(c.spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, by := range []time.Duration{0, 7 * time.Second} {
			got := offsetSchedule{schedule, by}.Next(at(c.now))
			if c.want == "" && got.IsZero() {
				continue
			}
			if want := at(c.want).Add(by); !got.Equal(want) && !(by > 0 && got.Equal(at(c.now).Add(by))) {
				t.Errorf("%s after %s and by %v is %v, want %v", c.spec, c.now, by, got, want)
			}
		}
	}
}

// TestInvalidSpecChangesNothing: after Set failed, the plans of before run.
func TestInvalidSpecChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		started := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: reportStart(started)})
		err := s.Set([]Plan{{Account: "bob", Spec: "every day"}})
		if err == nil || !strings.Contains(err.Error(), "bob") {
			t.Errorf("error is %v", err)
		}
		await(t, "the run of the old plan", started)
	})
}

// TestPanicInARun: a run that panics is logged, and the account runs again.
func TestPanicInARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newScheduler(t)
		started := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Run: func(context.Context) {
			started <- time.Now()
			panic("of the job")
		}})
		await(t, "the run", started)
		if text := await(t, "the error", log); !strings.Contains(text, "panic") {
			t.Errorf("logged %q", text)
		}
		await(t, "the next run", started)
	})
}

// TestStopWaits: Stop returns after the runs under way, and no run starts after it.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(ctx, slog.New(slog.DiscardHandler), time.Now)
		started, ended := make(chan time.Time, 10), atomic.Bool{}
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Run: func(ctx context.Context) {
			started <- time.Now()
			<-ctx.Done()
			ended.Store(true)
		}})
		await(t, "the run", started)
		s.CheckAlive()
		cancel()
		s.Stop()
		if !ended.Load() {
			t.Error("Stop did not wait")
		}
		s.mustSet(t, Plan{Account: "bob", Spec: "@every 1s", Run: reportStart(started)})
		s.Stop()
		if n := len(started); n > 0 {
			t.Errorf("%d runs started after it was stopped", n)
		}
	})
}

// TestAdditionalRun: an account runs at the time in its plan's Resumes and at that of
// the last RunAt, beside its schedule.
func TestAdditionalRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		started := make(chan time.Time, 10)
		soonest := time.Now().Add(1200 * time.Millisecond)
		plan := Plan{Account: "alice", Spec: "@yearly", Last: time.Now(), Resumes: soonest, Run: reportStart(started)}
		s.mustSet(t, plan)
		if next := s.Next("alice"); !next.Equal(soonest) {
			t.Errorf("next is %v, want %v", next, soonest)
		}
		if at := await(t, "the run", started); at.Before(soonest) {
			t.Errorf("started %v too early", soonest.Sub(at))
		}
		if next := s.Next("alice"); !next.After(time.Now()) {
			t.Errorf("next is %v, which is past", next)
		}
		s.RunAt("alice", time.Now().Add(time.Hour))
		s.RunAt("bob", time.Now().Add(time.Second)) // who has no plan
		again := time.Now().Add(1200 * time.Millisecond)
		s.RunAt("alice", again)
		if at := await(t, "the run asked for", started); at.Before(again) {
			t.Errorf("started %v too early", again.Sub(at))
		}
		plan.Resumes = time.Now().Add(-time.Second)
		s.mustSet(t, plan)
		if next := s.Next("alice"); next.Before(time.Now().Add(time.Minute)) {
			t.Errorf("next is %v", next)
		}
		s.Stop()
		if n := len(started); n > 0 {
			t.Errorf("%d runs too many", n)
		}
	})
}
