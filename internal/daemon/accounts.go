package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"archiverd/internal/commit"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/state"
	"archiverd/sync"
)

// runAccount is one scheduled run of an account. It does nothing while the account is
// held off.
func (d *Daemon) runAccount(ctx context.Context, acc *config.Account) {
	log := d.Log.With(logkey.Account, acc.Name)
	if until, why := d.holdOff(acc); time.Now().Before(until) {
		level := slog.LevelInfo
		if why == sync.LoginRefused { // only a person can help
			level = slog.LevelWarn
		}
		log.Log(ctx, level, "left out: "+why, "until", until.Local().Format(time.DateTime))
		return
	}
	j, err := d.startJob(acc)
	if err != nil {
		log.Error("the run could not begin", logkey.Error, err)
		return
	}
	defer d.endJob(acc)
	run, err := j.Run(ctx)
	logRun(log, run, err)
	if !run.Resumes.IsZero() {
		d.sched.RunAt(acc.Name, run.Resumes)
	}
	d.index.update()
}

// startJob makes the job of an account and counts it as under way.
func (d *Daemon) startJob(acc *config.Account) (*sync.Job, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	j, err := d.parts.Job(acc)
	if err != nil {
		return nil, err
	}
	d.jobs[acc.Name] = j
	return j, nil
}

func (d *Daemon) endJob(acc *config.Account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.jobs, acc.Name)
}

// holdOff returns until when no run of an account starts, and why.
func (d *Daemon) holdOff(acc *config.Account) (until time.Time, why string) {
	runs, err := d.parts.Committer.State.Runs(acc.Name)
	if err != nil {
		return time.Time{}, "" // the run reports it
	}
	d.mu.Lock()
	loaded := d.loaded
	d.mu.Unlock()
	return sync.HoldOff(runs, acc.DailyLimit, loaded, time.Now())
}

// logRun logs the outcome of a run in one record, and each error and warning in another.
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
