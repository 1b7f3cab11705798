package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/commit"
	"archiverd/internal/safetext"
	"archiverd/state"
)

// printRuns prints the ledgers of runs for a person.
func printRuns(w io.Writer, runs []state.Run) error {
	b := bufio.NewWriter(w)
	for i, r := range runs {
		if i > 0 {
			fmt.Fprintln(b)
		}
		if err := printRun(b, r); err != nil {
			return err
		}
	}
	return b.Flush()
}

// unchangedShown is up to how many mailboxes unchanged ones have a line each.
const unchangedShown = 30

func printRun(w io.Writer, r state.Run) error {
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(r.Account), verdict(r))
	if r.Error != "" && len(r.Mailboxes) == 0 {
		return printTroubles(w, nil, r) // it came to no mailbox
	}
	boxes := slices.Clone(r.Mailboxes)
	slices.SortFunc(boxes, func(a, b state.Ledger) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	show := columns(r)
	row := func(cell func(column) string, name string) {
		for _, c := range show {
			fmt.Fprint(t, cell(c), "\t")
		}
		fmt.Fprintf(t, "\t%s\n", name)
	}
	numbers := func(l state.Ledger, name string) {
		row(func(c column) string { return c.of(l) }, name)
	}
	row(func(c column) string { return c.title }, "mailbox")
	hidden := 0
	for _, l := range boxes {
		if l.Unchanged && len(boxes) > unchangedShown {
			hidden++
			continue
		}
		numbers(l, safetext.Line(l.Mailbox)+remark(l))
	}
	if hidden > 0 {
		row(func(column) string { return "" }, fmt.Sprintf("(%s unchanged)", english.Plural(hidden, "mailbox", "")))
	}
	numbers(r.Sum, "in all")
	if err := t.Flush(); err != nil {
		return err
	}
	return printTroubles(w, boxes, r)
}

// column is a column of a ledger.
type column struct {
	title string
	of    func(state.Ledger) string
}

// columns are those that say something: the balance, and what the run did if it
// did any of it. With all of them a narrow terminal would have no room for names.
func columns(r state.Run) []column {
	sum, all := r.Sum, "server"
	if r.ImportSources != nil {
		all = "source"
	}
	count := func(title string, of func(state.Ledger) int) column {
		return column{title, func(l state.Ledger) string { return strconv.Itoa(of(l)) }}
	}
	show := []column{
		count(all, func(l state.Ledger) int { return l.Server }),
		count("archived", func(l state.Ledger) int { return l.Archived }),
		count("failed", func(l state.Ledger) int { return l.Failed }),
		count("excluded", func(l state.Ledger) int { return l.Excluded }),
	}
	for _, c := range []column{
		count("added", func(l state.Ledger) int { return l.Added }),
		count("matched", func(l state.Ledger) int { return l.Matched }),
		count("linked", func(l state.Ledger) int { return l.Linked }),
		count("flags", func(l state.Ledger) int { return l.FlagsChanged }),
		count("vanished", func(l state.Ledger) int { return l.Gone }),
	} {
		if c.of(sum) != "0" {
			show = append(show, c)
		}
	}
	if sum.Octets > 0 {
		show = append(show, column{"octets", func(l state.Ledger) string { return humanize.IBytes(uint64(l.Octets)) }})
	}
	return show
}

// interrupted says whether the run was stopped by a signal: then what it did not
// come to is nobody's fault.
func interrupted(r state.Run) bool { return r.Error == commit.ErrInterrupted.Error() }

// verdict is the outcome of a run in a few words.
func verdict(r state.Run) string {
	what := ""
	if r.ImportSources != nil {
		what = "import "
	}
	return what + outcome(r)
}

func outcome(r state.Run) string {
	took := r.Ended.Sub(r.Started)
	speed := ""
	if s := took.Seconds(); r.Sum.Octets > 0 && s > 0 {
		speed = fmt.Sprintf(", %s/s", humanize.IBytes(uint64(float64(r.Sum.Octets)/s)))
	}
	round := took.Round(10 * time.Millisecond)
	switch {
	case interrupted(r):
		return fmt.Sprintf("INTERRUPTED after %v%s; what had been received is archived", round, speed)
	case !r.Resumes.IsZero() && r.Ended.Equal(r.Started):
		return fmt.Sprintf("NOT BEGUN: %s; goes on at %s", safetext.Line(r.Error), r.Resumes.Local().Format(time.DateTime))
	case !r.Resumes.IsZero():
		return fmt.Sprintf("INCOMPLETE after %v%s: %s; goes on at %s", round, speed, safetext.Line(r.Error), r.Resumes.Local().Format(time.DateTime))
	case r.Error != "":
		return "FAILED: " + safetext.Line(strings.ReplaceAll(r.Error, "\n", "; ")) // of joined errors
	case !r.OK():
		return fmt.Sprintf("INCOMPLETE after %v%s", round, speed)
	}
	return fmt.Sprintf("complete in %v%s", round, speed)
}

// remark says behind a mailbox's name what its numbers don't.
func remark(l state.Ledger) string {
	switch {
	case l.Skipped != "":
		return "  (not selectable)"
	case l.Vanished:
		return "  (no longer on the server; kept)"
	case l.Error != "":
		return "  (!)"
	case l.Postponed != "":
		return "  (" + safetext.Line(l.Postponed) + ")"
	case l.Rule != "" && l.Excluded < l.Server:
		return fmt.Sprintf("  (%d excluded: %s)", l.Excluded, safetext.Line(l.Rule))
	case l.Rule != "":
		return "  (excluded: " + safetext.Line(l.Rule) + ")"
	case l.Unchanged:
		return "  (unchanged)"
	}
	return ""
}

// printTroubles names what failed, and what to know.
func printTroubles(w io.Writer, boxes []state.Ledger, r state.Run) error {
	var b strings.Builder
	for _, l := range boxes {
		if l.Error != "" && !interrupted(r) {
			fmt.Fprintf(&b, "  mailbox %s: %s\n", safetext.Line(l.Mailbox), safetext.Line(l.Error))
		}
		for _, u := range slices.Sorted(maps.Keys(l.Failures)) {
			fmt.Fprintf(&b, "  mailbox %s, UID %d: failed, and is tried again each run: %s\n", safetext.Line(l.Mailbox), u, safetext.Line(l.Failures[u]))
		}
	}
	for _, s := range r.UnreadSources {
		fmt.Fprintf(&b, "  not imported: %s\n", safetext.Line(s))
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(&b, "  note: %s\n", safetext.Line(s))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
