package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/daemon"
	"archiverd/internal/safetext"
	"archiverd/sync/drill"
)

// printDrills prints results for a person: what came of each drill, and each
// difference.
func printDrills(w io.Writer, results []drill.Result) error {
	b := bufio.NewWriter(w)
	for _, d := range results {
		fmt.Fprintf(b, "%s: %s", safetext.Line(d.Account), drilled(d))
		if d.Messages > 0 {
			fmt.Fprintf(b, " in %v, %s", d.Ended.Sub(d.Started).Round(10*time.Millisecond), humanize.IBytes(uint64(d.Octets)))
		}
		fmt.Fprintln(b)
		printDifferences(b, d, len(d.Differences), "  ")
	}
	return b.Flush()
}

// drilled says in a line what came of a drill.
func drilled(d drill.Result) string {
	what := fmt.Sprintf("%s of %s restored and compared", english.Plural(d.Messages, "message", ""), english.Plural(d.Mailboxes, "mailbox", ""))
	if d.To != "" {
		what += ", in " + safetext.Line(d.To)
	}
	changed := ""
	if d.Changed > 0 {
		changed = fmt.Sprintf(", %s changed by the server", english.Plural(d.Changed, "message", ""))
	}
	switch {
	case d.Error == drill.ErrInterrupted.Error():
		return "INTERRUPTED: " + what
	case d.Error != "" && d.Messages == 0:
		return "FAILED: " + safetext.Line(strings.ReplaceAll(d.Error, "\n", "; ")) // of joined errors
	case d.Error != "":
		return fmt.Sprintf("FAILED: %s; %s, %d equal%s", safetext.Line(strings.ReplaceAll(d.Error, "\n", "; ")), what, d.Equal, changed)
	case d.Differing > 0:
		return fmt.Sprintf("FAILED: %s, %d equal%s, %s", what, d.Equal, changed, english.Plural(d.Differing, "difference", ""))
	case d.Archived == 0:
		return "nothing is archived yet"
	case changed != "":
		return fmt.Sprintf("%s, %d equal%s", what, d.Equal, changed)
	}
	return what + ", all equal"
}

// printDifferences prints the first differences, and what to know.
func printDifferences(w io.Writer, d drill.Result, most int, indent string) {
	for _, x := range d.Differences[:min(most, len(d.Differences))] {
		name := safetext.Line(x.ID)
		if x.ID == "" {
			name = "mailbox " + safetext.Line(x.Mailbox)
		}
		if x.Changed {
			name += ": changed by the server"
		}
		fmt.Fprintf(w, "%s%s: %s\n", indent, name, safetext.Line(x.What))
	}
	if more := d.Differing + d.Changed - min(most, len(d.Differences)); more > 0 {
		fmt.Fprintf(w, "%sand %d more\n", indent, more)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(w, "%snote: %s\n", indent, safetext.Line(n))
	}
}

// shownByStatus is how many differences of a drill status prints.
const shownByStatus = 3

// printDrill prints the lines of an account about drills.
func printLastDrill(w io.Writer, s *daemon.AccountStatus, now time.Time) {
	if p := s.Drilling; p != nil {
		fmt.Fprintf(w, "  drill under way: %s%s, %d of %d messages\n", p.Stage, spaced(p.Mailbox), p.Received, p.Messages)
	}
	if d := s.Drill; d != nil {
		fmt.Fprintf(w, "  last drill %s: %s\n", when(d.Ended, now), drilled(*d))
		if !d.OK() {
			failed := *d
			failed.Notes = nil
			printDifferences(w, failed, shownByStatus, "    ")
			name := safetext.Line(s.Account)
			fmt.Fprintf(w, "  last drill without a difference: %s; `archiverd verify %s` finds damage in the archive, `archiverd drill %s` tries again\n", when(d.LastOK, now), name, name)
		}
	}
	if !s.NextDrill.IsZero() {
		fmt.Fprintf(w, "  next drill %s (%s)\n", s.NextDrill.Local().Format(time.DateTime), s.DrillSchedule)
	}
}
