// Package schedule starts the runs of accounts when they are due. It guarantees that an
// account has one run at a time, that a missed run is started afterwards, and that
// accounts with the same schedule do not start at the same moment. It stores nothing:
// the caller says when an account ran last.
package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"archiverd/internal/logkey"
)

// Plan is when an account is due, and the run that is started then.
type Plan struct {
	Account string
	Spec    string                    // five fields, @every, @daily …, CRON_TZ= (robfig/cron)
	Last    time.Time                 // start of the last run; zero: there was none
	Resumes time.Time                 // if in the future, one additional run starts then
	Run     func(ctx context.Context) // one run; ctx is done when the scheduler stops
}

// Accounts with the same schedule start startInterval apart, or at shorter intervals so
// that all of them start within maxSpread.
const (
	startInterval = 5 * time.Second
	maxSpread     = 50 * time.Second
)

// Scheduler starts the runs of its plans when they are due. New makes it, Stop ends it.
// Its methods may be called from several goroutines.
type Scheduler struct {
	run  func(Plan) // runs a plan, unless the context of New is done
	log  *slog.Logger
	now  func() time.Time
	cron *cron.Cron
	runs sync.WaitGroup // runs under way

	mu      sync.Mutex          // guards the fields below
	plans   map[string]planned  // by account
	extra   map[string]extraRun // by account
	running map[string]bool     // by account
	stopped bool
}

// planned is a Plan with its entry in cron.
type planned struct {
	Plan
	schedule cron.Schedule
	entry    cron.EntryID
}

// extraRun is an additional run of an account.
type extraRun struct {
	at    time.Time
	entry cron.EntryID
}

// once is a schedule with a single time.
type once time.Time

// Next returns the time if it is after t, else the zero time.
func (o once) Next(t time.Time) time.Time {
	if at := time.Time(o); at.After(t) {
		return at
	}
	return time.Time{}
}

// New starts a scheduler without plans. ctx is passed to the runs. No run starts after
// it is done.
func New(ctx context.Context, log *slog.Logger, now func() time.Time) *Scheduler {
	run := func(p Plan) {
		if ctx.Err() == nil {
			p.Run(ctx)
		}
	}
	s := &Scheduler{run: run, log: log, now: now, cron: cron.New(), plans: map[string]planned{}, extra: map[string]extraRun{}, running: map[string]bool{}}
	s.cron.Start()
	return s
}

// Set replaces all plans. Runs under way continue. An account that had no plan before
// runs at once if a run was due since its Last. An error means that a Spec is not
// valid; the plans are unchanged then.
func (s *Scheduler) Set(plans []Plan) error {
	next := map[string]planned{}
	withSpec := map[string]int{}
	for _, p := range plans {
		schedule, err := cron.ParseStandard(p.Spec)
		if err != nil {
			return fmt.Errorf("schedule of account %s: %w", p.Account, err)
		}
		withSpec[p.Spec]++
		next[p.Account] = planned{Plan: p, schedule: schedule}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.plans {
		s.cron.Remove(old.entry)
	}
	placed := map[string]int{}
	for _, p := range plans {
		q := next[p.Account]
		interval := startInterval
		if n := withSpec[p.Spec]; time.Duration(n)*interval > maxSpread {
			interval = maxSpread / time.Duration(n)
		}
		q.schedule = offsetSchedule{q.schedule, time.Duration(placed[p.Spec]) * interval}
		placed[p.Spec]++
		q.entry = s.cron.Schedule(q.schedule, cron.FuncJob(func() { s.start(p.Account) }))
		next[p.Account] = q
		_, isPlanned := s.plans[p.Account]
		if !isPlanned && !s.stopped && q.isOverdue(s.now()) {
			s.runs.Go(func() { s.start(p.Account) })
		}
	}
	s.plans = next
	for _, p := range plans {
		if p.Resumes.After(s.now()) {
			s.setExtra(p.Account, p.Resumes)
		}
	}
	return nil
}

// RunAt starts an additional run of an account at a time in the future. It replaces an
// earlier RunAt of the account. If the account has no plan at that time, nothing runs.
func (s *Scheduler) RunAt(account string, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setExtra(account, at)
}

// setExtra is RunAt with s.mu locked.
func (s *Scheduler) setExtra(account string, at time.Time) {
	if old, ok := s.extra[account]; ok {
		s.cron.Remove(old.entry)
	}
	s.extra[account] = extraRun{at, s.cron.Schedule(once(at), cron.FuncJob(func() { s.start(account) }))}
}

// isOverdue reports whether a run was due since the plan's Last.
func (p *planned) isOverdue(now time.Time) bool {
	if p.Last.IsZero() {
		return !p.schedule.Next(now).IsZero() // a schedule that never comes due is not overdue
	}
	due := p.schedule.Next(p.Last)
	return !due.IsZero() && due.Before(now)
}

// offsetSchedule is a schedule whose times are all later by an offset.
type offsetSchedule struct {
	cron.Schedule
	offset time.Duration
}

// Next returns the first time after t. The times of @every are multiples of its
// interval since the zero time. If they counted from Set, a plan that is replaced often
// would never be due.
func (s offsetSchedule) Next(t time.Time) time.Time {
	t = t.Add(-s.offset)
	next := s.Schedule.Next(t)
	if every, ok := s.Schedule.(cron.ConstantDelaySchedule); ok {
		next = t.Truncate(every.Delay).Add(every.Delay)
	}
	if next.IsZero() {
		return next
	}
	return next.Add(s.offset)
}

// start runs an account's plan, unless a run of the account is under way. It recovers
// and logs a panic of the run, which would end the process otherwise.
func (s *Scheduler) start(account string) {
	s.mu.Lock()
	p, ok := s.plans[account]
	if !ok || s.stopped {
		s.mu.Unlock()
		return
	}
	if s.running[account] {
		s.mu.Unlock()
		s.log.Warn("the last run is still under way; this one is left out", logkey.Account, account)
		return
	}
	s.running[account] = true
	s.runs.Add(1)
	s.mu.Unlock()
	defer s.runs.Done()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.running, account)
	}()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("panic in a job", logkey.Account, account, logkey.Error, v, "stack", string(debug.Stack()))
		}
	}()
	s.run(p.Plan)
}

// Next returns when an account is due next; zero if it has no plan.
func (s *Scheduler) Next(account string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.plans[account]
	if !ok {
		return time.Time{}
	}
	next := s.cron.Entry(p.entry).Next
	if next.IsZero() {
		next = p.schedule.Next(s.now()) // cron has not computed it yet
	}
	if e, ok := s.extra[account]; ok && e.at.After(s.now()) && (next.IsZero() || e.at.Before(next)) {
		next = e.at
	}
	return next
}

// CheckAlive returns when the scheduler's loop has replied. A watchdog calls it.
func (s *Scheduler) CheckAlive() { s.cron.Entries() }

// Stop starts no more runs and waits for those under way. They are not cancelled: that
// is for the context of New.
func (s *Scheduler) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	<-s.cron.Stop().Done()
	s.runs.Wait()
}
