package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/schedule"
	"archiverd/state"
	"archiverd/sync"
)

// drillPlan is what the scheduler knows the drills by: no account is called so.
const drillPlan = "/drill"

// drillsPlan is the plan of the drills of a configuration that has a schedule for
// them. One that was missed is made up for.
func (s *service) drillsPlan(cfg *config.Config) schedule.Plan {
	p := schedule.Plan{Account: drillPlan, Spec: cfg.Drill.Schedule, Run: func(ctx context.Context) { s.runDrills(ctx, cfg) }}
	drills, err := state.Drills(cfg.State.Path)
	if err != nil {
		s.log.Warn("drills are done now, it is not known when they were last", logkey.Error, err)
	}
	// Of an account without a result there was nothing to drill, or nothing yet.
	for i := range cfg.Accounts {
		if d, ok := drills[cfg.Accounts[i].Name]; ok && (p.Last.IsZero() || d.Started.Before(p.Last)) {
			p.Last = d.Started
		}
	}
	return p
}

// runDrills does a drill of each account, one after another.
func (s *service) runDrills(ctx context.Context, cfg *config.Config) {
	r, err := archive.Open(cfg.Archive.Path)
	if err != nil {
		s.log.Error("the drills could not begin", logkey.Error, err)
		return
	}
	defer r.Close()
	for i := range cfg.Accounts {
		if ctx.Err() != nil {
			return
		}
		name := cfg.Accounts[i].Name
		log := s.log.With(logkey.Account, name)
		d, err := newDrill(r, name, cfg.Drill.Sample)
		if err != nil {
			log.Error("the drill could not begin", logkey.Error, err)
			continue
		}
		d.Log = log
		s.setDrill(d)
		result, err := d.Run(ctx)
		s.setDrill(nil)
		logDrill(log, result, err)
		if errors.Is(err, sync.ErrDrillInterrupted) {
			return
		}
		if err := saveDrill(cfg.State.Path, result); err != nil {
			log.Warn("status will not show this drill", logkey.Error, err)
		}
	}
}

// setDrill says which drill is under way, nil for none.
func (s *service) setDrill(d *sync.Drill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drill = d
}

// loggedDifferences is how many differences of a drill are logged.
const loggedDifferences = 10

// logDrill logs what became of a drill: one record, and one for each of the
// first differences.
func logDrill(log *slog.Logger, d state.Drill, err error) {
	args := []any{"sample", d.Sample, "messages", d.Messages, "mailboxes", d.Mailboxes, "equal", d.Equal, "differing", d.Differing,
		logkey.Octets, d.Octets, logkey.Elapsed, d.Ended.Sub(d.Started).Round(time.Millisecond)}
	for _, x := range d.Differences[:min(loggedDifferences, len(d.Differences))] {
		log.Error("not restored as it is in the archive", logkey.Mailbox, x.Mailbox, "id", x.ID, logkey.Error, x.What)
	}
	for _, n := range d.Notes {
		log.Info("of the drill", "note", n)
	}
	switch {
	case errors.Is(err, sync.ErrDrillInterrupted):
		log.Info("drill interrupted", args...)
	case err != nil:
		log.Error("drill failed", append(args, logkey.Error, err)...)
	case !d.OK():
		log.Error("drill failed", args...)
	default:
		log.Info("drill complete", args...)
	}
}
