package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/daemon"
	"archiverd/internal/progress"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// printStatus prints the report of status for people.
func printStatus(w io.Writer, s *daemon.Report, now time.Time) error {
	fmt.Fprintf(w, "archive %s\n", safetext.Line(s.Archive))
	if d := s.Daemon; d != nil {
		fmt.Fprintf(w, "daemon running since %s (process %d, %s)\n", ui.LocalTime(d.Started), d.PID, safetext.Line(d.Version))
	} else {
		fmt.Fprintln(w, "no daemon is running")
	}
	if s.Stopped != "" {
		fmt.Fprintf(w, "NOTHING CAN BE ARCHIVED: %s\n", safetext.Line(s.Stopped))
	}
	notes := &ui.Notes{}
	notes.NoteAll(s.Notes)
	if _, err := notes.WriteTo(w); err != nil {
		return err
	}
	for _, acc := range s.Accounts {
		fmt.Fprintln(w)
		if err := printAccount(w, &acc, now); err != nil {
			return err
		}
	}
	return nil
}

// printAccount prints the last run of an account and its present state.
func printAccount(w io.Writer, s *daemon.AccountStatus, now time.Time) error {
	var err error
	switch {
	case s.Last != nil:
		err = printLastRun(w, s, now)
	case len(s.Boxes) > 0:
		printArchived(w, s, now)
	default:
		fmt.Fprintf(w, "%s: never archived\n", safetext.Line(s.Account))
	}
	if err != nil {
		return err
	}
	if s.Unconfigured {
		fmt.Fprintln(w, "  no longer in the configuration: it stays as it is, and no run follows")
	}
	printProgress(w, s)
	if s.DailyLimit > 0 {
		fmt.Fprintf(w, "  received in the last 24 hours %s, of %s a day\n", humanize.Bytes(uint64(s.LastDay)), humanize.Bytes(uint64(s.DailyLimit)))
	}
	if !s.Held.IsZero() {
		fmt.Fprintf(w, "  held back until %s: %s\n", ui.LocalTime(s.Held), safetext.Line(s.HeldWhy))
	}
	if !s.Next.IsZero() {
		fmt.Fprintf(w, "  next run %s (%s)\n", ui.LocalTime(s.Next), safetext.Line(s.Schedule))
	}
	return printLastDrill(w, s, now)
}

const (
	maxUnreadShown  = 10 // sources that could not be imported
	maxSourcesShown = 3  // sources of an import
)

// printLastRun prints the last run of an account, and when it was.
func printLastRun(w io.Writer, s *daemon.AccountStatus, now time.Time) error {
	last := *s.Last
	if n := len(last.UnreadSources); n > maxUnreadShown {
		last.UnreadSources = append(slices.Clone(last.UnreadSources[:maxUnreadShown]), fmt.Sprintf("and %d more, which --json lists", n-maxUnreadShown))
	}
	if err := printRun(w, last); err != nil {
		return err
	}
	if s.Imported {
		fmt.Fprintf(w, "  imported %s from %s\n", ui.Ago(last.Ended, now), safetext.Line(firstSources(last.ImportSources)))
	} else {
		fmt.Fprintf(w, "  last run %s, last complete one %s\n", ui.Ago(last.Ended, now), ui.Ago(s.LastOK, now))
	}
	return nil
}

// firstSources names the first sources of an import, and the number of the others.
func firstSources(sources []string) string {
	if n := len(sources) - maxSourcesShown; n > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(sources[:maxSourcesShown], ", "), n)
	}
	return strings.Join(sources, ", ")
}

// printArchived prints what the archive has of an account, for which no run is known.
func printArchived(w io.Writer, s *daemon.AccountStatus, now time.Time) {
	fmt.Fprintf(w, "%s:\n", safetext.Line(s.Account))
	for _, b := range s.Boxes {
		name := safetext.Line(b.Mailbox)
		if s.Imported {
			fmt.Fprintf(w, "  %s: %s, imported %s\n", name, english.Plural(b.Messages, "message", ""), ui.Ago(b.Imported, now))
			continue
		}
		fmt.Fprintf(w, "  %s: %s, %d more that the server no longer has, %d failed\n", name, english.Plural(b.Messages, "message", ""), b.Gone, b.Failed)
	}
}

// printProgress prints how far the run in progress is, or without one what the last run
// did not fetch.
func printProgress(w io.Writer, s *daemon.AccountStatus) {
	if p := s.Running; p != nil {
		fmt.Fprintf(w, "  running now: %s, %s%s\n", stageOf(p), ui.Octets(p.Octets), ui.Remaining(p.Estimate))
	} else if e := s.Estimate; e != nil {
		fmt.Fprintf(w, "  %s left, about %s: %s\n", english.Plural(e.Messages, "message", ""), humanize.Bytes(uint64(e.Octets)), e)
	}
}

// stageOf is "fetching INBOX, 5 of 20 messages".
func stageOf(p *progress.Progress) string {
	text := safetext.Line(p.Stage)
	if p.Mailbox != "" {
		text += " " + safetext.Line(p.Mailbox)
	}
	return fmt.Sprintf("%s, %d of %d messages", text, p.Received, p.Messages)
}
