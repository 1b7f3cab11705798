package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/schedule"
	"archiverd/sync/drill"
)

// drillPlan is the name of the drills' plan in the scheduler. No account has this name.
const drillPlan = "/drill"

// drillsPlan is the plan of the scheduled drills. Drills that are overdue start at once.
func (d *Daemon) drillsPlan(cfg *config.Config) schedule.Plan {
	p := schedule.Plan{Account: drillPlan, Spec: cfg.Drill.Schedule, Run: func(ctx context.Context) { d.runDrills(ctx, cfg) }}
	drills, err := drill.Load(cfg.State.Path)
	if err != nil {
		d.Log.Warn("drills are done now, it is not known when they were last", logkey.Error, err)
	}
	// An account without a result has nothing archived, or nothing yet.
	for i := range cfg.Accounts {
		if x, ok := drills[cfg.Accounts[i].Name]; ok && (p.Last.IsZero() || x.Started.Before(p.Last)) {
			p.Last = x.Started
		}
	}
	return p
}

// runDrills runs a drill of each account, one after another.
func (d *Daemon) runDrills(ctx context.Context, cfg *config.Config) {
	r, err := archive.Open(cfg.Archive.Path)
	if err != nil {
		d.Log.Error("the drills could not begin", logkey.Error, err)
		return
	}
	defer r.Close()
	for i := range cfg.Accounts {
		if ctx.Err() != nil || !d.runDrill(ctx, cfg, r, cfg.Accounts[i].Name) {
			return
		}
	}
}

// runDrill runs the drill of one account, logs and stores its result. It returns false if
// the drill was interrupted.
func (d *Daemon) runDrill(ctx context.Context, cfg *config.Config, r *archive.Archive, account string) bool {
	log := d.Log.With(logkey.Account, account)
	job, err := drill.New(r, account)
	if err != nil {
		log.Error("the drill could not begin", logkey.Error, err)
		return true
	}
	job.Sample, job.Named, job.Log = cfg.Drill.Sample.Of, cfg.Drill.Sample.String(), log
	d.setDrill(job)
	result, err := job.Run(ctx)
	d.setDrill(nil)
	logDrill(log, result, err)
	if errors.Is(err, drill.ErrInterrupted) {
		return false
	}
	if err := drill.Save(cfg.State.Path, result); err != nil {
		log.Warn("status will not show this drill", logkey.Error, err)
	}
	return true
}

// setDrill sets the drill under way; nil: none.
func (d *Daemon) setDrill(job *drill.Job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drill = job
}

// maxLoggedDifferences is how many differences of a drill are logged.
const maxLoggedDifferences = 10

// logDrill logs the outcome of a drill in one record, and each of the first differences
// in another.
func logDrill(log *slog.Logger, result drill.Result, err error) {
	args := []any{"sample", result.Sample, "messages", result.Messages, "mailboxes", result.Mailboxes, "equal", result.Equal, "differing", result.Differing,
		logkey.Octets, result.Octets, logkey.Elapsed, result.Ended.Sub(result.Started).Round(time.Millisecond)}
	for _, x := range result.Differences[:min(maxLoggedDifferences, len(result.Differences))] {
		log.Error("not restored as it is in the archive", logkey.Mailbox, x.Mailbox, "id", x.ID, logkey.Error, x.What)
	}
	for _, n := range result.Notes {
		log.Info("of the drill", "note", n)
	}
	switch {
	case errors.Is(err, drill.ErrInterrupted):
		log.Info("drill interrupted", args...)
	case err != nil:
		log.Error("drill failed", append(args, logkey.Error, err)...)
	case !result.OK():
		log.Error("drill failed", args...)
	default:
		log.Info("drill complete", args...)
	}
}
