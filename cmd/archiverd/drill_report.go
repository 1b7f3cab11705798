package main

import (
	"bufio"
	"fmt"
	"io"
	"time"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/daemon"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/drill"
)

// printDrills prints the result of each drill, and each difference.
func printDrills(w io.Writer, results []drill.Result) error {
	b := bufio.NewWriter(w)
	for _, d := range results {
		fmt.Fprintf(b, "%s: %s", safetext.Line(d.Account), drillVerdict(d))
		if d.Messages > 0 {
			fmt.Fprintf(b, " in %v, %s", ui.Elapsed(d.Ended.Sub(d.Started)), ui.Octets(d.Octets))
		}
		fmt.Fprintln(b)
		notes := ui.NewNotes()
		noteDifferences(notes, d, len(d.Differences))
		notes.NoteAll(d.Notes)
		if _, err := notes.WriteTo(b); err != nil {
			return err
		}
	}
	return b.Flush()
}

// drillVerdict is the result of a drill in one line.
func drillVerdict(d drill.Result) string {
	done := fmt.Sprintf("%s of %s restored and compared", english.Plural(d.Messages, "message", ""), english.Plural(d.Mailboxes, "mailbox", ""))
	if d.To != "" {
		done += ", in " + safetext.Line(d.To)
	}
	equal := fmt.Sprintf(", %d equal", d.Equal)
	if d.Changed > 0 {
		equal += fmt.Sprintf(", %s changed by the server", english.Plural(d.Changed, "message", ""))
	}
	switch {
	case d.Error == drill.ErrInterrupted.Error():
		return ui.Verdict("INTERRUPTED", "", done)
	case d.Error != "" && d.Messages == 0:
		return ui.Verdict("FAILED", d.Error)
	case d.Error != "":
		return ui.Verdict("FAILED", d.Error, done+equal)
	case d.Differing > 0:
		return ui.Verdict("FAILED", "", fmt.Sprintf("%s%s, %s", done, equal, english.Plural(d.Differing, "difference", "")))
	case d.Archived == 0:
		return "nothing is archived yet"
	case d.Changed > 0:
		return done + equal
	}
	return done + ", all equal"
}

// noteDifferences notes the first maxShown differences of a drill, and the number of the
// others.
func noteDifferences(n *ui.Notes, d drill.Result, maxShown int) {
	shown := d.Differences[:min(maxShown, len(d.Differences))]
	for _, x := range shown {
		name := x.ID
		if x.ID == "" {
			name = "mailbox " + x.Mailbox
		}
		if x.Changed {
			name += ": changed by the server"
		}
		n.Line("%s: %s", name, x.What)
	}
	if more := d.Differing + d.Changed - len(shown); more > 0 {
		n.Line("and %d more", more)
	}
}

// maxDifferencesShown is how many differences of a drill status prints.
const maxDifferencesShown = 3

// printLastDrill prints the lines of status about an account's drills.
func printLastDrill(w io.Writer, s *daemon.AccountStatus, now time.Time) error {
	if p := s.Drilling; p != nil {
		fmt.Fprintf(w, "  drill in progress: %s\n", stageOf(p))
	}
	if d := s.Drill; d != nil {
		fmt.Fprintf(w, "  last drill %s: %s\n", ui.Ago(d.Ended, now), drillVerdict(*d))
		if !d.OK() {
			notes := &ui.Notes{Indent: "    "}
			noteDifferences(notes, *d, maxDifferencesShown)
			notes.Indent = "  "
			notes.Line("last drill without a difference: %s; `archiverd verify %s` finds damage in the archive, `archiverd drill %s` tries again", ui.Ago(d.LastOK, now), s.Account, s.Account)
			if _, err := notes.WriteTo(w); err != nil {
				return err
			}
		}
	}
	if !s.NextDrill.IsZero() {
		fmt.Fprintf(w, "  next drill %s (%s)\n", ui.LocalTime(s.NextDrill), s.DrillSchedule)
	}
	return nil
}
