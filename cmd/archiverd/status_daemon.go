package main

import (
	"os"
	"time"

	"archiverd/internal/config"
	"archiverd/internal/progress"
	"archiverd/state"
)

// status is the answer of the control socket.
func (s *service) status() (statusReport, error) {
	s.mu.Lock()
	cfg := s.cfg
	running := map[string]progress.Progress{}
	for name, j := range s.jobs {
		running[name] = j.Progress()
	}
	var drilling progress.Progress
	if s.drill != nil {
		drilling = s.drill.Progress()
	}
	s.mu.Unlock()
	report := statusReport{Daemon: &daemonStatus{PID: os.Getpid(), Version: version(), Started: s.started}, ID: s.house.store.Archive.ID()}
	if cfg == nil {
		return report, nil
	}
	report.Archive = cfg.Archive.Path
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		st := accountStatus{Account: acc.Name, Schedule: acc.Schedule, Next: s.sched.Next(acc.Name),
			DrillSchedule: cfg.Drill.Schedule, NextDrill: s.sched.Next(drillPlan)}
		if until, why := s.held(acc); until.After(time.Now()) {
			st.Held, st.HeldWhy = until, why
			if st.Next.Before(until) {
				st.Next = until
			}
		}
		if drilling.Account == acc.Name {
			st.Drilling = &drilling
		}
		if p, ok := running[acc.Name]; ok {
			st.Running = &p
		}
		runs, err := s.house.store.State.Runs(acc.Name)
		if err != nil {
			return report, err
		}
		traffic, err := s.house.store.State.Traffic(acc.Name, time.Now())
		if err != nil {
			return report, err
		}
		st.take(runs, traffic, cfg, acc, time.Now())
		report.Accounts = append(report.Accounts, st)
	}
	imports, err := s.imports(cfg)
	if err != nil {
		return report, err
	}
	report.Accounts = append(report.Accounts, imports...)
	report.addDrills(cfg.State.Path)
	return report, nil
}

// imports are the accounts that came from files. Their journals are read once, and only
// where no run is known of them, after a rebuild: while the daemon has the archive
// nobody imports.
func (s *service) imports(cfg *config.Config) (out []accountStatus, err error) {
	r := s.house.store.Archive.Archive
	dirs, err := unconfigured(r, cfg)
	if err != nil {
		return nil, err
	}
	s.folding.Lock()
	defer s.folding.Unlock()
	for _, dir := range dirs {
		runs, err := s.house.store.State.Runs(dir)
		if err != nil {
			return nil, err
		}
		st := accountStatus{Account: dir}
		st.take(runs, state.Traffic{}, cfg, nil, time.Now())
		if st.Last == nil {
			boxes, ok := s.folded[dir]
			if !ok {
				if boxes, err = readBoxes(r, dir); err != nil {
					return nil, err
				}
				s.folded[dir] = boxes
			}
			st.Boxes = boxes
		}
		if st.Imported = st.imported(); st.Imported {
			out = append(out, st)
		}
	}
	return out, nil
}
