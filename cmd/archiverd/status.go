package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/progress"
	"archiverd/internal/quota"
	"archiverd/internal/safetext"
	"archiverd/state"
)

// statusReport is what status prints, and the daemon's socket answers.
type statusReport struct {
	Archive  string          `json:"archive"`
	ID       string          `json:"id"`
	Daemon   *daemonStatus   `json:"daemon,omitempty"` // nil: none is running
	Accounts []accountStatus `json:"accounts"`
	Notes    []string        `json:"notes,omitempty"`
}

type daemonStatus struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

type accountStatus struct {
	Account  string             `json:"account"`
	Imported bool               `json:"imported,omitempty"` // from files: no server has it, and no run is due
	Schedule string             `json:"schedule,omitempty"`
	Next     time.Time          `json:"next,omitzero"`
	Held     time.Time          `json:"held_until,omitzero"` // no run of the daemon's before
	HeldWhy  string             `json:"held_why,omitempty"`
	Running  *progress.Progress `json:"running,omitempty"`
	Last     *state.Run         `json:"last,omitempty"`
	LastOK   time.Time          `json:"last_ok,omitzero"`
	Boxes    []boxStatus        `json:"archived,omitempty"` // from the archive alone, where no run is known

	DailyLimit int64              `json:"daily_limit,omitempty"` // octets in any 24 hours
	LastDay    int64              `json:"last_day,omitempty"`    // octets received in the last 24 hours
	Estimate   *progress.Estimate `json:"estimate,omitempty"`    // for what the last run left to the next

	Drill         *state.Drill       `json:"drill,omitempty"`          // the last restore rehearsal
	Drilling      *progress.Progress `json:"drilling,omitempty"`       // the one under way
	DrillSchedule string             `json:"drill_schedule,omitempty"` // of the daemon's
	NextDrill     time.Time          `json:"next_drill,omitzero"`
}

type boxStatus struct {
	Mailbox  string `json:"mailbox"`
	Messages int    `json:"messages"`
	Gone     int    `json:"gone"`
	Failed   int    `json:"failed"`

	Imported time.Time `json:"imported,omitzero"` // the last time, where its messages are of files
}

func (a *app) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status [ACCOUNT…]",
		Short: "Print, by account and mailbox, what the server has and what became of it",
		Long: `Prints the ledger of each account's last run: server = archived + failed +
excluded, by mailbox and in sum; the last success, the last errors, and with a
daemon running what it does now and when it runs next; and how the last restore
rehearsal went (see drill). Without a daemon it reads
the state database, and where that is in use the archive alone.

Columns that say what the run did are there if it did any of it: added, matched (known
without its octets), linked (the archive had the octets), flags, vanished and octets.
Vanished is what the mailbox listed before and lists no more, also what was moved to
another or is back since; what is lost of it, list --gone tells.

An account that was imported from files has no server: of it the last import is
told, and the exit status is 0 whatever that left out.

The exit status is 1 if an account's last run was not complete, or its last drill
found anything that does not come back as it is in the archive.

With --check each account's server is asked again, now: which mailboxes it lists,
and by UID which messages. That is compared with the archive's journals. Nothing is
changed, here or there, and a daemon may be at work. Each UID that the server lists is

  archived   in the archive
  failed     could not be archived; the reason is told
  excluded   left out by a rule of the configuration; the rule is told
  missing    none of these, and it was there at the last run, or may have been
  arrived    not archived, and come since the last run
  returned   in the archive, but recorded as gone from the server

and vanished is what the archive has as listed and the server lists no more. Missing
and failed messages, a mailbox that can't be compared (its UIDVALIDITY changed, the
server's answers contradict each other, its journal is damaged) and an account that
can't be reached make the exit status 1. Arrived, returned and vanished do not: they
are changes since the last run, which the next one records. Where the last run is
not known, as with a copy of the archive, what is not archived counts as missing.

--check proves that every message is there, not that its octets are what they were:
that is verify's business. It takes the server at its word where nothing speaks
against it: a message that a server lists to nobody can't be missed.
` + exitHelp,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if check {
				return a.check(cmd.Context(), names)
			}
			return a.status(cmd.Context(), names)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "ask the servers again, and compare by UID with the archive")
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) status(ctx context.Context, names []string) error {
	report, err := a.askOrRead(ctx)
	if err == nil {
		err = report.onlyThese(names)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = safetext.WriteJSON(a.out, report)
	} else {
		err = report.print(a.out, time.Now())
	}
	for _, acc := range report.Accounts {
		if err == nil && (acc.Last != nil && acc.Last.ImportSources == nil && !acc.Last.OK() || acc.Drill != nil && !acc.Drill.OK()) {
			err = &exit{status: exitFailed}
		}
	}
	return err
}

// askOrRead asks the daemon, or else reads what it would.
func (a *app) askOrRead(ctx context.Context) (*statusReport, error) {
	var cfg *config.Config
	if a.archiveDir == "" {
		var err error
		if cfg, err = a.load(); err != nil {
			return nil, err
		}
		report, err := askControl(ctx, cfg.Control.Socket)
		if err == nil || !errors.Is(err, errNoDaemon) {
			return report, err
		}
	}
	dir, statePath := a.archiveDir, filepath.Join(a.archiveDir, "state.db")
	if cfg != nil {
		dir, statePath = cfg.Archive.Path, cfg.State.Path
	}
	r, err := archive.Open(dir)
	if err != nil && cfg == nil {
		err = usage(err)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	report := &statusReport{Archive: dir, ID: r.ID()}
	return report, report.read(r, cfg, statePath)
}

// read fills the report from the state database, or from the archive.
func (s *statusReport) read(r *archive.Archive, cfg *config.Config, statePath string) error {
	runs, traffic, err := readRuns(statePath)
	if err != nil {
		s.Notes = append(s.Notes, unread(err)+"; this is what the archive itself tells")
	}
	accounts := map[string]*config.Account{}
	var order []string
	if cfg != nil {
		for i := range cfg.Accounts {
			acc := &cfg.Accounts[i]
			accounts[acc.Name] = acc
			order = append(order, acc.Name)
		}
	}
	others, err := unconfigured(r, cfg)
	if err != nil {
		return err
	}
	for _, name := range append(order, others...) {
		acc := accountStatus{Account: name}
		acc.take(runs[name], traffic[name], cfg, accounts[name], time.Now())
		if acc.Last != nil {
			// the ledger is all there is to say
		} else if acc.Boxes, err = readBoxes(r, archive.Escape(name)); err != nil {
			return err
		}
		acc.Imported = acc.imported()
		s.Accounts = append(s.Accounts, acc)
	}
	s.addDrills(statePath)
	return nil
}

// unconfigured are the accounts that the archive has and cfg has not, by their
// directories. cfg may be nil.
func unconfigured(r *archive.Archive, cfg *config.Config) ([]string, error) {
	dirs, err := r.Accounts()
	if err != nil || cfg == nil {
		return dirs, err
	}
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return slices.ContainsFunc(cfg.Accounts, func(acc config.Account) bool { return archive.Escape(acc.Name) == dir })
	}), nil
}

// take fills in what the last runs of an account tell. acc is what the
// configuration has of it; nil: nothing.
func (s *accountStatus) take(runs []state.Run, t state.Traffic, cfg *config.Config, acc *config.Account, now time.Time) {
	var rate int64
	if acc != nil {
		rate, s.DailyLimit = slowest(cfg.Limits.Rate, acc.Rate), acc.DailyLimit
	}
	s.LastDay = t.OctetsInDay(now)
	if len(runs) > 0 {
		s.Last, s.LastOK = &runs[0], runs[0].LastOK
		s.Estimate = quota.EstimateRest(s.Last, t, quota.Limits{Rate: rate, Daily: s.DailyLimit}, now)
	}
}

// readBoxes counts what the journals of an account have.
func readBoxes(r *archive.Archive, dir string) ([]boxStatus, error) {
	boxes, err := r.Mailboxes(dir)
	if err != nil {
		return nil, err
	}
	var out []boxStatus
	for _, b := range boxes {
		v, _, err := r.Fold(b)
		if err != nil && !errors.Is(err, archive.ErrCorrupt) {
			return nil, err
		}
		if unnamed(v, err) {
			continue
		}
		s := boxStatus{Mailbox: v.Name.Mailbox}
		if ep := v.Epoch(); ep != nil && ep.Imported {
			s.Imported = ep.Opened
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
		if ep := v.Epoch(); ep != nil {
			s.Failed = len(ep.Failed)
		}
		out = append(out, s)
	}
	return out, nil
}

// imported says whether the account is that of an import: by its last run, else by
// its mailboxes.
func (s *accountStatus) imported() bool {
	if s.Last != nil {
		return s.Last.ImportSources != nil
	}
	return len(s.Boxes) > 0 && !slices.ContainsFunc(s.Boxes, func(b boxStatus) bool { return b.Imported.IsZero() })
}

func (s *statusReport) print(w io.Writer, now time.Time) error {
	fmt.Fprintf(w, "archive %s\n", safetext.Line(s.Archive))
	if d := s.Daemon; d != nil {
		fmt.Fprintf(w, "daemon running since %s (process %d, %s)\n", d.Started.Local().Format(time.DateTime), d.PID, d.Version)
	} else {
		fmt.Fprintln(w, "no daemon is running")
	}
	for _, n := range s.Notes {
		fmt.Fprintln(w, "note: "+safetext.Line(n))
	}
	for _, acc := range s.Accounts {
		fmt.Fprintln(w)
		if err := acc.print(w, now); err != nil {
			return err
		}
	}
	return nil
}

// unreadShown is how many sources that could not be imported are named.
const unreadShown = 10

func (s *accountStatus) print(w io.Writer, now time.Time) error {
	name := safetext.Line(s.Account)
	switch {
	case s.Last != nil:
		last := *s.Last
		if n := len(last.UnreadSources); n > unreadShown {
			last.UnreadSources = append(slices.Clone(last.UnreadSources[:unreadShown]), fmt.Sprintf("and %d more, which --json tells", n-unreadShown))
		}
		if err := printRun(w, last); err != nil {
			return err
		}
		if s.Imported {
			fmt.Fprintf(w, "  imported %s from %s\n", when(s.Last.Ended, now), safetext.Line(fewOf(s.Last.ImportSources)))
			break
		}
		fmt.Fprintf(w, "  last run %s, last complete one %s\n", when(s.Last.Ended, now), when(s.LastOK, now))
	case len(s.Boxes) > 0:
		fmt.Fprintf(w, "%s:\n", name)
		for _, b := range s.Boxes {
			if s.Imported {
				fmt.Fprintf(w, "  %s: %s, imported %s\n", safetext.Line(b.Mailbox), english.Plural(b.Messages, "message", ""), when(b.Imported, now))
				continue
			}
			fmt.Fprintf(w, "  %s: %d messages, %d more that the server no longer has, %d failed\n", safetext.Line(b.Mailbox), b.Messages, b.Gone, b.Failed)
		}
	default:
		fmt.Fprintf(w, "%s: never archived\n", name)
	}
	if p := s.Running; p != nil {
		fmt.Fprintf(w, "  running now: %s%s, %d of %d messages, %s%s\n", p.Stage, spaced(p.Mailbox), p.Received, p.Messages, humanize.IBytes(uint64(p.Octets)), remaining(p.Estimate))
	} else if e := s.Estimate; e != nil {
		fmt.Fprintf(w, "  %s left, about %s: %s\n", english.Plural(e.Messages, "message", ""), humanize.Bytes(uint64(e.Octets)), e)
	}
	if s.DailyLimit > 0 {
		fmt.Fprintf(w, "  received in the last 24 hours %s, of %s a day\n", humanize.Bytes(uint64(s.LastDay)), humanize.Bytes(uint64(s.DailyLimit)))
	}
	if !s.Held.IsZero() {
		fmt.Fprintf(w, "  held back until %s: %s\n", s.Held.Local().Format(time.DateTime), safetext.Line(s.HeldWhy))
	}
	if !s.Next.IsZero() {
		fmt.Fprintf(w, "  next run %s (%s)\n", s.Next.Local().Format(time.DateTime), s.Schedule)
	}
	s.printDrill(w, now)
	return nil
}

// remaining is what an estimate says, behind a semicolon; nothing of none.
func remaining(e *progress.Estimate) string {
	if e == nil {
		return ""
	}
	return "; " + e.Time() + " left, at " + e.Pace()
}

// fewOf are the first of some sources.
func fewOf(sources []string) string {
	if n := len(sources) - 3; n > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(sources[:3], ", "), n)
	}
	return strings.Join(sources, ", ")
}

// spaced is a mailbox's name behind a space, or nothing.
func spaced(mailbox string) string {
	if mailbox == "" {
		return ""
	}
	return " " + safetext.Line(mailbox)
}

func when(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if text := humanize.RelTime(t, now, "ago", "from now"); text != "now" {
		return text
	}
	return "just now"
}
