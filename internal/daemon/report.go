package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/setup"
	"archiverd/state"
	"archiverd/sync/drill"
)

// Report is what the daemon's control socket answers, and what status prints.
type Report struct {
	Archive  string          `json:"archive"` // path
	ID       string          `json:"id"`      // of the archive
	Daemon   *Process        `json:"daemon,omitempty"`
	Accounts []AccountStatus `json:"accounts"`
	Notes    []string        `json:"notes,omitempty"`
	// Stopped is why nothing can be archived: the archive's checkpoints are lost. "": they
	// are not, or a daemon is running.
	Stopped string `json:"stopped,omitempty"`
}

// Process is the daemon that made the report.
type Process struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// AccountStatus is the state of one account.
type AccountStatus struct {
	Account  string `json:"account"`
	Imported bool   `json:"imported,omitempty"` // from files: it has no server and no schedule
	// Unconfigured means that the configuration no longer has the account: what is
	// archived stays, no run follows, and an old failure is nobody's concern.
	Unconfigured bool `json:"unconfigured,omitempty"`

	Schedule string             `json:"schedule,omitempty"`
	Next     time.Time          `json:"next,omitzero"`
	Held     time.Time          `json:"held_until,omitzero"` // the daemon starts no run before
	HeldWhy  string             `json:"held_why,omitempty"`
	Running  *progress.Progress `json:"running,omitempty"`
	Last     *state.Run         `json:"last,omitempty"`
	LastOK   time.Time          `json:"last_ok,omitzero"`
	Boxes    []MailboxStatus    `json:"archived,omitempty"` // from the archive alone, if no run is known

	DailyLimit int64              `json:"daily_limit,omitempty"` // octets in any 24 hours
	LastDay    int64              `json:"last_day,omitempty"`    // octets received in the last 24 hours
	Estimate   *progress.Estimate `json:"estimate,omitempty"`    // for what the last run left to the next

	Drill         *drill.Result      `json:"drill,omitempty"`          // the last restore rehearsal
	Drilling      *progress.Progress `json:"drilling,omitempty"`       // the one under way
	DrillSchedule string             `json:"drill_schedule,omitempty"` // of the daemon
	NextDrill     time.Time          `json:"next_drill,omitzero"`
}

// MailboxStatus counts the messages of a mailbox by its journal.
type MailboxStatus struct {
	Mailbox  string `json:"mailbox"`
	Messages int    `json:"messages"` // that the server still lists
	Gone     int    `json:"gone"`
	Failed   int    `json:"failed"`

	Imported time.Time `json:"imported,omitzero"` // when messages last came from files; zero: none did
}

// Read makes the report without a daemon: from the state database, or if that can't be
// read, from the archive. cfg is nil if the archive was opened without a configuration.
func Read(r *archive.Archive, path string, cfg *config.Config, statePath string) (*Report, error) {
	report := &Report{Archive: path, ID: r.ID()}
	whole, err := r.VerifyCheckpoints()
	if err != nil {
		return nil, err
	}
	for _, f := range whole.Findings {
		if f.Damage {
			report.Stopped = f.Path + ": " + f.What
		}
	}
	runs, traffic, err := ReadRuns(statePath)
	if err != nil {
		report.Notes = append(report.Notes, StateUnreadable(err)+"; this is what the archive itself tells")
	}
	accounts := map[string]*config.Account{}
	var names []string
	if cfg != nil {
		for i := range cfg.Accounts {
			acc := &cfg.Accounts[i]
			accounts[acc.Name] = acc
			names = append(names, acc.Name)
		}
	}
	others, err := setup.Unconfigured(r, cfg)
	if err != nil {
		return nil, err
	}
	for i, name := range append(names, others...) {
		acc := AccountStatus{Account: name}
		acc.setRuns(runs[name], traffic[name], cfg, accounts[name], time.Now())
		if acc.Last == nil {
			if acc.Boxes, err = readMailboxes(r, archive.Escape(name)); err != nil {
				return nil, err
			}
		}
		acc.Imported = acc.isImported()
		if cfg != nil && i >= len(names) {
			acc.setUnconfigured()
		}
		report.Accounts = append(report.Accounts, acc)
	}
	report.addDrills(statePath)
	return report, nil
}

// setRuns fills in what the last runs and the traffic of an account say. acc is its
// configuration; nil: it has none.
func (s *AccountStatus) setRuns(runs []state.Run, t state.Traffic, cfg *config.Config, acc *config.Account, now time.Time) {
	var rate int64
	if acc != nil {
		rate, s.DailyLimit = setup.LowestRate(cfg.Limits.Rate, acc.Rate), acc.DailyLimit
	}
	s.LastDay = t.OctetsInDay(now)
	if len(runs) > 0 {
		s.Last, s.LastOK = &runs[0], runs[0].LastOK
		s.Estimate = quota.EstimateRest(s.Last, t, quota.Limits{Rate: rate, Daily: s.DailyLimit}, now)
	}
}

// setUnconfigured marks an account that the configuration does not have. An import has no
// configuration.
func (s *AccountStatus) setUnconfigured() {
	if s.Unconfigured = !s.Imported; s.Unconfigured {
		s.Estimate = nil // no run follows
	}
}

// isImported says whether the account came from files: by its last run, else by its
// mailboxes.
func (s *AccountStatus) isImported() bool {
	if s.Last != nil {
		return s.Last.ImportSources != nil
	}
	return len(s.Boxes) > 0 && !slices.ContainsFunc(s.Boxes, func(b MailboxStatus) bool { return b.Imported.IsZero() })
}

// addDrills adds the results of drills to the accounts of the report.
func (r *Report) addDrills(statePath string) {
	drills, err := drill.Load(statePath)
	if err != nil {
		r.Notes = append(r.Notes, err.Error())
	}
	for i := range r.Accounts {
		if d, ok := drills[r.Accounts[i].Account]; ok {
			r.Accounts[i].Drill = &d
		}
	}
}

// readMailboxes counts the messages in the journals of an account.
func readMailboxes(r *archive.Archive, account string) ([]MailboxStatus, error) {
	mailboxes, err := r.Mailboxes(account)
	if err != nil {
		return nil, err
	}
	var out []MailboxStatus
	for _, m := range mailboxes {
		v, _, err := r.Fold(m)
		if err != nil && !errors.Is(err, archive.ErrCorrupt) {
			return nil, err
		}
		if err == nil && v.Epoch() == nil { // nothing was ever committed to the journal
			continue
		}
		out = append(out, countView(v))
	}
	return out, nil
}

func countView(v *archive.View) MailboxStatus {
	s := MailboxStatus{Mailbox: v.Name.Mailbox}
	if ep := v.Epoch(); ep != nil {
		s.Failed = len(ep.Failed)
		if ep.Imported {
			s.Imported = ep.Opened
		}
	}
	for ep, m := range v.All() {
		if ep.Imported && m.Added.After(s.Imported) {
			s.Imported = m.Added
		}
		if v.Listed(ep, m) {
			s.Messages++
		} else {
			s.Gone++
		}
	}
	return s
}

// ReadRuns returns the last runs of every account, newest first, and the traffic of each,
// from the state database. See StateUnreadable for its error.
func ReadRuns(statePath string) (map[string][]state.Run, map[string]state.Traffic, error) {
	db, err := state.OpenReader(statePath)
	if err != nil {
		return nil, nil, err
	}
	runs, err := db.LastRuns()
	traffic, terr := db.Traffic()
	return runs, traffic, errors.Join(err, terr, db.Close())
}

// StateUnreadable says for people why ReadRuns returned err.
func StateUnreadable(err error) string {
	switch {
	case errors.Is(err, state.ErrLocked):
		return "another archiverd is writing to the state database"
	case errors.Is(err, fs.ErrNotExist):
		return "no state database"
	}
	return fmt.Sprintf("the state database can't be read (%v)", err)
}
