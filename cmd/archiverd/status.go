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
	"archiverd/internal/daemon"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
)

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
		err = selectReported(report, names)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = safetext.WriteJSON(a.out, report)
	} else {
		err = printReport(a.out, report, time.Now())
	}
	for _, acc := range report.Accounts {
		if err == nil && (acc.Last != nil && acc.Last.ImportSources == nil && !acc.Last.OK() || acc.Drill != nil && !acc.Drill.OK()) {
			err = &exit{status: exitFailed}
		}
	}
	return err
}

// askOrRead asks the daemon for its report. Without a daemon it makes the report itself.
func (a *app) askOrRead(ctx context.Context) (*daemon.Report, error) {
	var cfg *config.Config
	if a.archiveDir == "" {
		var err error
		if cfg, err = a.load(); err != nil {
			return nil, err
		}
		report, err := daemon.Ask(ctx, cfg.Control.Socket)
		if err == nil || !errors.Is(err, daemon.ErrNotRunning) {
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
	return daemon.Read(r, dir, cfg, statePath)
}

func printReport(w io.Writer, s *daemon.Report, now time.Time) error {
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
		if err := printAccount(w, &acc, now); err != nil {
			return err
		}
	}
	return nil
}

// unreadShown is how many sources that could not be imported are named.
const unreadShown = 10

func printAccount(w io.Writer, s *daemon.AccountStatus, now time.Time) error {
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
	printLastDrill(w, s, now)
	return nil
}

// remaining is what an estimate says, behind a semicolon; "" without one.
func remaining(e *progress.Estimate) string {
	if e == nil {
		return ""
	}
	return "; " + e.Remaining()
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
