package daemon

import (
	"os"
	"time"

	"archiverd/internal/config"
	"archiverd/internal/progress"
	"archiverd/internal/setup"
	"archiverd/state"
)

// report makes the report of the running daemon.
func (d *Daemon) report() (*Report, error) {
	report := &Report{
		Daemon: &Process{PID: os.Getpid(), Version: d.Version, Started: d.started},
		ID:     d.parts.Committer.Archive.ID(),
	}
	cfg, running, drilling := d.underWay()
	if cfg == nil {
		return report, nil
	}
	report.Archive = cfg.Archive.Path
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		s, err := d.accountStatus(cfg, acc)
		if err != nil {
			return nil, err
		}
		if drilling.Account == acc.Name {
			s.Drilling = &drilling
		}
		if p, ok := running[acc.Name]; ok {
			s.Running = &p
		}
		report.Accounts = append(report.Accounts, s)
	}
	others, err := d.unconfiguredAccounts(cfg)
	if err != nil {
		return nil, err
	}
	report.Accounts = append(report.Accounts, others...)
	report.addDrills(cfg.State.Path)
	return report, nil
}

// underWay returns the configuration in use, nil before there is one, and the progress of
// the runs, by account, and of the drill. Without a drill its Account is "".
func (d *Daemon) underWay() (cfg *config.Config, running map[string]progress.Progress, drilling progress.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	running = map[string]progress.Progress{}
	for name, j := range d.jobs {
		running[name] = j.Progress()
	}
	if d.drill != nil {
		drilling = d.drill.Progress()
	}
	return d.cfg, running, drilling
}

// accountStatus is the state of a configured account, without what is under way.
func (d *Daemon) accountStatus(cfg *config.Config, acc *config.Account) (AccountStatus, error) {
	s := AccountStatus{Account: acc.Name, Schedule: acc.Schedule, Next: d.sched.Next(acc.Name),
		DrillSchedule: cfg.Drill.Schedule, NextDrill: d.sched.Next(drillPlan)}
	if until, why := d.holdOff(acc); until.After(time.Now()) {
		s.Held, s.HeldWhy = until, why
		if s.Next.Before(until) {
			s.Next = until
		}
	}
	runs, err := d.parts.Committer.State.Runs(acc.Name)
	if err != nil {
		return s, err
	}
	traffic, err := d.parts.Committer.State.Traffic(acc.Name, time.Now())
	if err != nil {
		return s, err
	}
	s.setRuns(runs, traffic, cfg, acc, time.Now())
	return s, nil
}

// unconfiguredAccounts returns the accounts that came from files, and those that the
// configuration no longer has. If no run of one is known, after a rebuild, its journals
// are read, once: nobody adds to it while the daemon has the archive.
func (d *Daemon) unconfiguredAccounts(cfg *config.Config) (out []AccountStatus, err error) {
	r := d.parts.Committer.Archive.Archive
	dirs, err := setup.Unconfigured(r, cfg)
	if err != nil {
		return nil, err
	}
	d.unconfiguredMu.Lock()
	defer d.unconfiguredMu.Unlock()
	for _, dir := range dirs {
		runs, err := d.parts.Committer.State.Runs(dir)
		if err != nil {
			return nil, err
		}
		s := AccountStatus{Account: dir}
		s.setRuns(runs, state.Traffic{}, cfg, nil, time.Now())
		if s.Last == nil {
			mailboxes, ok := d.unconfigured[dir]
			if !ok {
				if mailboxes, err = readMailboxes(r, dir); err != nil {
					return nil, err
				}
				d.unconfigured[dir] = mailboxes
			}
			s.Boxes = mailboxes
		}
		s.Imported = s.isImported()
		s.setUnconfigured()
		out = append(out, s)
	}
	return out, nil
}
