package sync

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	gosync "sync"
	"time"

	"github.com/robfig/cron/v3"
)

// Plan says when an account is due and what is to be done then.
type Plan struct {
	Account string
	Spec    string                    // five fields, @every, @daily …, CRON_TZ= (robfig/cron)
	Last    time.Time                 // when it was last begun; zero: never
	Resumes time.Time                 // if that is to come, begin then as well, beside the schedule
	Run     func(ctx context.Context) // one run; ctx is done when the scheduler is stopped
}

// spread is how far apart the starts of accounts are that share a schedule, and
// spreadOver what they all fit in.
const (
	spread     = 5 * time.Second
	spreadOver = 50 * time.Second
)

// Scheduler runs plans when they are due, never two of one account at a time. A
// run that was missed is made up for. Stop ends it.
type Scheduler struct {
	ctx  context.Context // of the runs
	log  *slog.Logger
	now  func() time.Time
	cron *cron.Cron
	wait gosync.WaitGroup

	mu      gosync.Mutex
	plans   map[string]planned
	again   map[string]extra
	running map[string]bool
	stopped bool
}

type planned struct {
	Plan
	schedule cron.Schedule
	entry    cron.EntryID
}

// extra is one more run of an account, beside its schedule.
type extra struct {
	at    time.Time
	entry cron.EntryID
}

// onceAt is a schedule of one time.
type onceAt time.Time

func (o onceAt) Next(t time.Time) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

// NewScheduler starts a scheduler without plans. Once ctx is done it begins
// nothing more, and the runs under way are told to stop.
func NewScheduler(ctx context.Context, log *slog.Logger, now func() time.Time) *Scheduler {
	s := &Scheduler{ctx: ctx, log: log, now: now, cron: cron.New(), plans: map[string]planned{}, again: map[string]extra{}, running: map[string]bool{}}
	s.cron.Start()
	return s
}

// Set puts plans in the place of those before. A run under way is not touched.
// An account that is new here, and should have been begun since its Last, is
// begun at once. On an error nothing is changed.
func (s *Scheduler) Set(plans []Plan) error {
	next := map[string]planned{}
	alike := map[string]int{}
	for _, p := range plans {
		schedule, err := cron.ParseStandard(p.Spec)
		if err != nil {
			return fmt.Errorf("schedule of account %s: %w", p.Account, err)
		}
		alike[p.Spec]++
		next[p.Account] = planned{Plan: p, schedule: schedule}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.plans {
		s.cron.Remove(old.entry)
	}
	seen := map[string]int{}
	for _, p := range plans {
		q := next[p.Account]
		by := spread
		if n := alike[p.Spec]; time.Duration(n)*by > spreadOver {
			by = spreadOver / time.Duration(n)
		}
		q.schedule = shifted{q.schedule, time.Duration(seen[p.Spec]) * by}
		seen[p.Spec]++
		q.entry = s.cron.Schedule(q.schedule, cron.FuncJob(func() { s.begin(p.Account) }))
		next[p.Account] = q
		_, known := s.plans[p.Account]
		if !known && !s.stopped && q.late(s.now()) {
			s.wait.Go(func() { s.begin(p.Account) })
		}
	}
	s.plans = next
	for _, p := range plans {
		if p.Resumes.After(s.now()) {
			s.once(p.Account, p.Resumes)
		}
	}
	return nil
}

// Again has an account begun once more at a time to come, beside its schedule, in
// the place of what an Again before it said. Without a plan then, it is not begun.
func (s *Scheduler) Again(account string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.once(account, at)
}

// once is Again for who holds the mutex.
func (s *Scheduler) once(account string, at time.Time) {
	if old, ok := s.again[account]; ok {
		s.cron.Remove(old.entry)
	}
	s.again[account] = extra{at, s.cron.Schedule(onceAt(at), cron.FuncJob(func() { s.begin(account) }))}
}

// late says whether the plan should have been begun since its Last.
func (p *planned) late(now time.Time) bool {
	if p.Last.IsZero() {
		return !p.schedule.Next(now).IsZero() // unless it never is
	}
	due := p.schedule.Next(p.Last)
	return !due.IsZero() && due.Before(now)
}

// shifted is a schedule that is some time later.
type shifted struct {
	cron.Schedule
	by time.Duration
}

// Next is the first time after t. @every goes by the clock, not by when it was
// set: else one that is set anew more often would never be due, and those of
// many accounts would all be due at once.
func (s shifted) Next(t time.Time) time.Time {
	t = t.Add(-s.by)
	next := s.Schedule.Next(t)
	if every, ok := s.Schedule.(cron.ConstantDelaySchedule); ok {
		next = t.Truncate(every.Delay).Add(every.Delay)
	}
	if next.IsZero() {
		return next
	}
	return next.Add(s.by)
}

// begin runs an account's plan, unless it runs already. A panic in it is an
// error of that run: cron would let it end the process.
func (s *Scheduler) begin(account string) {
	s.mu.Lock()
	p, ok := s.plans[account]
	if !ok || s.stopped || s.ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	if s.running[account] {
		s.mu.Unlock()
		s.log.Warn("the last run is still under way; this one is left out", KeyAccount, account)
		return
	}
	s.running[account] = true
	s.wait.Add(1)
	s.mu.Unlock()
	defer s.wait.Done()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, account)
	}()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic in a job", KeyAccount, account, KeyError, v, "stack", string(debug.Stack()))
		}
	}()
	p.Run(s.ctx)
}

// Next is when an account is due next; zero if it has no plan.
func (s *Scheduler) Next(account string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans[account]
	if !ok {
		return time.Time{}
	}
	next := s.cron.Entry(p.entry).Next
	if next.IsZero() {
		next = p.schedule.Next(s.now()) // cron has not got to it
	}
	if more, ok := s.again[account]; ok && more.at.After(s.now()) && (next.IsZero() || more.at.Before(next)) {
		next = more.at
	}
	return next
}

// Alive returns once the scheduler's loop has answered: a self-check.
func (s *Scheduler) Alive() { s.cron.Entries() }

// Stop begins nothing more and waits for the runs under way. They end early
// only if the context of NewScheduler is done.
func (s *Scheduler) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	<-s.cron.Stop().Done()
	s.wait.Wait()
}
