package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	gosync "sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"archiverd/internal/commit"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/schedule"
	"archiverd/state"
	"archiverd/sync"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "The daemon: archive every account on its schedule",
		Long: `Archives every account on its schedule, until SIGTERM or SIGINT: then nothing more
is fetched, what has been received is committed, and it ends; a second signal ends
it at once. SIGHUP reads the configuration again, without touching a run under way.

It tells systemd (Type=notify) when it is ready, what it does, and that it lives.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return a.daemon(cmd.Context(), cfg)
		},
	}
}

// service is the running daemon.
type service struct {
	a       *app
	log     *slog.Logger
	house   *house
	sched   *schedule.Scheduler
	started time.Time

	mu     gosync.Mutex
	cfg    *config.Config
	loaded time.Time            // of the configuration: older refusals of a login do not count
	jobs   map[string]*sync.Job // under way
	drill  *sync.Drill          // under way; nil: none

	folding gosync.Mutex
	folded  map[string][]boxStatus // accounts of which no run is known, by directory: see imports

	index *indexing // nil: none is kept
}

func (a *app) daemon(ctx context.Context, cfg *config.Config) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	log := a.logger(cfg)
	h, err := openHouse(cfg, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &service{a: a, log: log, house: h, started: time.Now(), jobs: map[string]*sync.Job{}, folded: map[string][]boxStatus{}}
	s.sched = schedule.New(ctx, log, time.Now)
	s.index = startIndexing(ctx, cfg, log)
	c, err := listenControl(cfg.Control.Socket, s.status)
	if err == nil {
		if err = s.take(cfg); err == nil {
			log.Info("archiverd is running", "version", version(), "archive", cfg.Archive.Path, "accounts", len(cfg.Accounts))
			s.notify(daemon.SdNotifyReady)
			err = s.serve(ctx, signals)
		}
		err = errors.Join(err, c.Close())
	}
	cancel()
	s.notify(daemon.SdNotifyStopping)
	go func() {
		for sig := range signals {
			if sig != syscall.SIGHUP {
				os.Exit(exitFailed)
			}
		}
	}()
	s.sched.Stop()
	s.index.wait()
	return errors.Join(err, h.Close())
}

// serve waits for signals, and tells systemd that the daemon lives.
func (s *service) serve(ctx context.Context, signals <-chan os.Signal) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	beat := time.NewTicker(statusEvery)
	defer beat.Stop()
	if every > 0 {
		beat.Reset(min(every/3, statusEvery))
	}
	s.beat()
	s.beat()
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				s.log.Info("stopping; what has been received is being committed")
				return nil
			}
			s.reload()
		case <-beat.C:
			s.beat()
		}
	}
}

const (
	statusEvery = 10 * time.Second
	// stuckCommit is how long a commit may take before the daemon no longer
	// says that it lives: a disk that has been gone for that long does not
	// come back by itself.
	stuckCommit = 2 * time.Minute
)

// beat tells systemd what is going on; that it lives only after a look at the
// scheduler and the committer.
func (s *service) beat() {
	s.sched.CheckAlive()
	if d := s.house.store.CommittingFor(); d > stuckCommit {
		s.log.Error("a commit is stuck; the disk does not answer", logkey.Elapsed, d.Round(time.Second))
		return
	}
	s.notify(daemon.SdNotifyWatchdog + "\nSTATUS=" + s.line())
}

// line is what the daemon does now.
func (s *service) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jobs) == 0 && s.drill == nil {
		var next time.Time
		for _, acc := range s.cfg.Accounts {
			if t := s.sched.Next(acc.Name); next.IsZero() || !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		return "idle, next run " + next.Format(time.DateTime)
	}
	var parts []string
	for name, j := range s.jobs {
		p := j.Progress()
		parts = append(parts, fmt.Sprintf("%s: %s, %d of %d messages", name, p.Stage, p.Received, p.Messages)+remaining(p.Estimate))
	}
	if s.drill != nil {
		p := s.drill.Progress()
		parts = append(parts, fmt.Sprintf("drill of %s: %s, %d of %d messages", p.Account, p.Stage, p.Received, p.Messages))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}

func (s *service) notify(text string) {
	if _, err := daemon.SdNotify(false, text); err != nil {
		s.log.Warn("systemd can't be told", logkey.Error, err)
	}
}

// reload reads the configuration again. With faults, or another archive, the
// old one stays.
func (s *service) reload() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		s.log.Warn("read the clock", logkey.Error, err)
	}
	s.notify(fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000))
	defer s.notify(daemon.SdNotifyReady)
	cfg, err := s.a.load()
	if err == nil && (cfg.Archive != s.cfg.Archive || cfg.State != s.cfg.State || cfg.Control != s.cfg.Control || cfg.Index != s.cfg.Index) {
		err = errors.New("archive, state, control or index can't be changed while running: restart archiverd")
	}
	if err == nil {
		err = s.take(cfg)
	}
	if err != nil {
		s.log.Error("the configuration is not taken over, the old one stays", logkey.Error, err)
		return
	}
	s.log.Info("configuration read again", "accounts", len(cfg.Accounts))
}

// take makes cfg the configuration of all runs to come.
func (s *service) take(cfg *config.Config) error {
	plans := make([]schedule.Plan, len(cfg.Accounts))
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		runs, err := s.house.store.State.Runs(acc.Name)
		if err != nil {
			return err
		}
		plans[i] = schedule.Plan{Account: acc.Name, Spec: acc.Schedule, Run: func(ctx context.Context) { s.runJob(ctx, acc) }}
		if len(runs) > 0 {
			plans[i].Last, plans[i].Resumes = runs[0].Started, sync.Resumes(runs, acc.DailyLimit, time.Now())
		}
	}
	if cfg.Drill.Schedule != "" {
		plans = append(plans, s.drillsPlan(cfg))
	}
	s.mu.Lock()
	s.cfg, s.loaded = cfg, time.Now()
	s.house.limits(cfg)
	s.mu.Unlock()
	return s.sched.Set(plans)
}

// runJob is one run of an account.
func (s *service) runJob(ctx context.Context, acc *config.Account) {
	log := s.log.With(logkey.Account, acc.Name)
	if until, why := s.held(acc); time.Now().Before(until) {
		level := slog.LevelInfo
		if why == loginRefused { // somebody must do something
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "left out: "+why, "until", until.Local().Format(time.DateTime))
		return
	}
	s.mu.Lock()
	j, err := s.house.job(acc)
	if err == nil {
		s.jobs[acc.Name] = j
	}
	s.mu.Unlock()
	if err != nil {
		log.Error("the run could not begin", logkey.Error, err)
		return
	}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.jobs, acc.Name)
	}()
	run, err := j.Run(ctx)
	logRun(log, run, err)
	if !run.Resumes.IsZero() {
		s.sched.RunAt(acc.Name, run.Resumes)
	}
	s.index.poke()
}

// logRun logs what became of a run: one record, and one for each trouble.
func logRun(log *slog.Logger, r state.Run, err error) {
	for _, m := range r.Mailboxes {
		if m.Error != "" {
			log.Error("mailbox is not complete", logkey.Mailbox, m.Mailbox, logkey.Error, m.Error)
		}
	}
	for _, w := range r.Warnings {
		log.Warn(w)
	}
	args := []any{"server", r.Sum.Server, "archived", r.Sum.Archived, "failed", r.Sum.Failed, "excluded", r.Sum.Excluded,
		"added", r.Sum.Added, "matched", r.Sum.Matched, "linked", r.Sum.Linked, "flags", r.Sum.FlagsChanged, "gone", r.Sum.Gone,
		logkey.Octets, r.Sum.Octets, logkey.Elapsed, r.Sum.Elapsed.Round(time.Millisecond)}
	switch {
	case errors.Is(err, commit.ErrInterrupted):
		log.Info("run interrupted", args...)
	case !r.Resumes.IsZero():
		log.Warn("run ended early", append(args, logkey.Error, err, "left", r.Sum.Missing, "resumes", r.Resumes.Local().Format(time.DateTime))...)
	case err != nil:
		log.Error("run failed", append(args, logkey.Error, err)...)
	case !r.OK():
		log.Warn("run incomplete", args...)
	default:
		log.Info("run complete", args...)
	}
}

// The back-off over runs after a refused login: servers lock accounts.
const (
	firstHold = 30 * time.Minute
	mostHold  = 12 * time.Hour
)

// held is until when an account is left alone, and why: the last run came to
// the daily limit, the server asked for it, or it refused the login since the
// configuration was read.
func (s *service) held(acc *config.Account) (until time.Time, why string) {
	runs, err := s.house.store.State.Runs(acc.Name)
	if err != nil {
		return time.Time{}, "" // the run will say so
	}
	if until := sync.Resumes(runs, acc.DailyLimit, time.Now()); !until.IsZero() {
		return until, runs[0].Error
	}
	s.mu.Lock()
	loaded := s.loaded
	s.mu.Unlock()
	hold := firstHold
	for i, r := range runs {
		if !r.LoginRefused || r.Started.Before(loaded) {
			break
		}
		if i == 0 {
			until = r.Ended
		} else {
			hold = min(2*hold, mostHold)
		}
	}
	if until.IsZero() {
		return until, ""
	}
	return until.Add(hold), loginRefused
}

const loginRefused = "the server refused the login; mend the account and reload the daemon, or restart it for a credential"
