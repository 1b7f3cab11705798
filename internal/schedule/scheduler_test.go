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

// heard is a log whose warnings and errors a test can wait for.
type heard chan string

func (heard) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h heard) WithAttrs([]slog.Attr) slog.Handler         { return h }
func (h heard) WithGroup(string) slog.Handler              { return h }
func (h heard) Handle(_ context.Context, r slog.Record) error {
	select {
	case h <- r.Message:
	default:
	}
	return nil
}

// newScheduler starts a scheduler that stops at the end of the test, which runs in a
// bubble of synctest: time passes only while everybody waits.
func newScheduler(t *testing.T) (*Scheduler, heard) {
	t.Helper()
	log := make(heard, 100)
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

// await fails the test if nothing comes.
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

// counts is a run that says that it began.
func counts(c chan<- time.Time) func(context.Context) {
	return func(context.Context) { c <- time.Now() }
}

func TestDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		began := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: counts(began)})
		first := await(t, "the first run", began)
		if second := await(t, "the second run", began); second.Sub(first) < 500*time.Millisecond {
			t.Errorf("the second run began %v after the first", second.Sub(first))
		}
	})
}

// A run that was missed is made up for at once; one that was not is not.
func TestMissed(t *testing.T) {
	const never = 1000 * time.Hour
	for _, c := range []struct {
		name, spec string
		last       time.Duration // from now
		begins     bool
	}{
		{"never begun", "@yearly", never, true},
		{"missed", "@hourly", -2 * time.Hour, true},
		{"missed by @every", "@every 1h", -2 * time.Hour, true},
		{"not missed", "@yearly", 0, false},
		{"not missed by @every", "@every 8760h", 0, false},
		{"begun in the future", "@hourly", 48 * time.Hour, false},
		{"never due", "0 0 30 2 *", never, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, _ := newScheduler(t)
				began := make(chan time.Time, 10)
				plan := Plan{Account: "alice", Spec: c.spec, Run: counts(began)}
				if c.last != never {
					plan.Last = time.Now().Add(c.last)
				}
				s.mustSet(t, plan)
				if c.begins {
					await(t, "the run", began)
				}
				s.Stop()
				if n := len(began); n > 0 {
					t.Errorf("%d runs too many", n)
				}
			})
		})
	}
}

// Set again, as a reload of the configuration does, catches nothing up for
// accounts that were there.
func TestSetAgainBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		began := make(chan time.Time, 10)
		plan := Plan{Account: "alice", Spec: "@yearly", Run: counts(began)}
		s.mustSet(t, plan)
		await(t, "the run", began)
		s.mustSet(t, plan)
		s.mustSet(t, plan, Plan{Account: "bob", Spec: "@yearly", Run: counts(began)})
		await(t, "bob's run", began)
		s.Stop()
		if n := len(began); n > 0 {
			t.Errorf("%d runs too many", n)
		}
	})
}

// Set more often than @every would fire, runs begin all the same.
func TestSetOftenStarvesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		began := make(chan time.Time, 100)
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for end := time.After(soon); ; {
			select {
			case <-again.C:
				s.mustSet(t, Plan{Account: "alice", Spec: "@every 2s", Last: time.Now().Add(time.Hour), Run: counts(began)})
				continue
			case <-began:
			case <-end:
				t.Error("never due")
			}
			break
		}
	})
}

// Never two runs of one account at once, also over a Set that takes it out and
// puts it back; another account is not kept waiting.
func TestNeverTwoOfOneAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newScheduler(t)
		var running, most atomic.Int64
		began, others, end := make(chan time.Time, 100), make(chan time.Time, 100), make(chan bool)
		alice := Plan{Account: "alice", Spec: "@every 1s", Run: func(context.Context) {
			most.Store(max(most.Load(), running.Add(1)))
			began <- time.Now()
			<-end
			running.Add(-1)
		}}
		bob := Plan{Account: "bob", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: counts(others)}
		s.mustSet(t, alice, bob)
		await(t, "the run", began)
		await(t, "the warning", log)
		s.mustSet(t, bob)
		if next := s.Next("alice"); !next.IsZero() {
			t.Errorf("an account that is out is due at %v", next)
		}
		s.mustSet(t, alice, bob)
		await(t, "the warning", log)
		await(t, "bob's run", others)
		end <- true
		await(t, "the next run", began)
		s.mustSet(t)
		close(end)
		s.Stop()
		if most.Load() != 1 {
			t.Errorf("%d runs at once", most.Load())
		}
	})
}

// Accounts that share a schedule begin apart, and all within a minute.
func TestSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		<-time.After(time.Hour) // a bubble begins at midnight, when @daily is due
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
					t.Errorf("%d of %s begin from %v to %v", n, spec, times[0], times[n-1])
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

// Schedules as people write them.
func TestNext(t *testing.T) {
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

func TestSetRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		began := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Last: time.Now().Add(time.Hour), Run: counts(began)})
		err := s.Set([]Plan{{Account: "bob", Spec: "every day"}})
		if err == nil || !strings.Contains(err.Error(), "bob") {
			t.Errorf("error is %v", err)
		}
		await(t, "the run of the old plan", began)
	})
}

func TestPanicInARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, log := newScheduler(t)
		began := make(chan time.Time, 100)
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Run: func(context.Context) {
			began <- time.Now()
			panic("of the job")
		}})
		await(t, "the run", began)
		if text := await(t, "the error", log); !strings.Contains(text, "panic") {
			t.Errorf("logged %q", text)
		}
		await(t, "the next run", began)
	})
}

// Stop waits for the runs under way, and nothing begins after it.
func TestStopWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := New(ctx, slog.New(slog.DiscardHandler), time.Now)
		began, ended := make(chan time.Time, 10), atomic.Bool{}
		s.mustSet(t, Plan{Account: "alice", Spec: "@every 1s", Run: func(ctx context.Context) {
			began <- time.Now()
			<-ctx.Done()
			ended.Store(true)
		}})
		await(t, "the run", began)
		s.CheckAlive()
		cancel()
		s.Stop()
		if !ended.Load() {
			t.Error("Stop did not wait")
		}
		s.mustSet(t, Plan{Account: "bob", Spec: "@every 1s", Run: counts(began)})
		s.Stop()
		if n := len(began); n > 0 {
			t.Errorf("%d runs began after it was stopped", n)
		}
	})
}

// An account that goes on at a time is begun then, beside its schedule, whether it
// is set so or asked for; the last time asked for counts.
func TestRunAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newScheduler(t)
		began := make(chan time.Time, 10)
		soonest := time.Now().Add(1200 * time.Millisecond)
		plan := Plan{Account: "alice", Spec: "@yearly", Last: time.Now(), Resumes: soonest, Run: counts(began)}
		s.mustSet(t, plan)
		if next := s.Next("alice"); !next.Equal(soonest) {
			t.Errorf("next is %v, want %v", next, soonest)
		}
		if at := await(t, "the run", began); at.Before(soonest) {
			t.Errorf("begun %v too early", soonest.Sub(at))
		}
		if next := s.Next("alice"); !next.After(time.Now()) {
			t.Errorf("next is %v, which is past", next)
		}
		s.RunAt("alice", time.Now().Add(time.Hour))
		s.RunAt("bob", time.Now().Add(time.Second)) // who has no plan
		again := time.Now().Add(1200 * time.Millisecond)
		s.RunAt("alice", again)
		if at := await(t, "the run asked for", began); at.Before(again) {
			t.Errorf("begun %v too early", again.Sub(at))
		}
		plan.Resumes = time.Now().Add(-time.Second)
		s.mustSet(t, plan)
		if next := s.Next("alice"); next.Before(time.Now().Add(time.Minute)) {
			t.Errorf("next is %v", next)
		}
		s.Stop()
		if n := len(began); n > 0 {
			t.Errorf("%d runs too many", n)
		}
	})
}
