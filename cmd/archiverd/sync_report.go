package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/commit"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/state"
)

// printRuns prints the ledgers of runs for people.
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

// maxUnchangedShown is up to how many mailboxes those that are unchanged have a line each.
const maxUnchangedShown = 30

// printRun prints the verdict of a run, its ledger and its problems. A run that failed
// before it reached a mailbox has no ledger.
func printRun(w io.Writer, r state.Run) error {
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(r.Account), runVerdict(r))
	mailboxes := slices.Clone(r.Mailboxes)
	slices.SortFunc(mailboxes, func(a, b state.Ledger) int { return cmp.Compare(a.Mailbox, b.Mailbox) })
	if r.Error == "" || len(mailboxes) > 0 {
		shown := mailboxes
		var remarks []string
		if len(mailboxes) > maxUnchangedShown {
			shown = slices.DeleteFunc(slices.Clone(mailboxes), func(l state.Ledger) bool { return l.Unchanged })
			if hidden := len(mailboxes) - len(shown); hidden > 0 {
				remarks = []string{fmt.Sprintf("(%s unchanged)", english.Plural(hidden, "mailbox", ""))}
			}
		}
		table := &ui.Table[state.Ledger]{Numbers: runColumns(r), Texts: []ui.Text[state.Ledger]{{Title: "mailbox", Of: ledgerName}}}
		if err := table.Print(w, shown, &r.Sum, remarks...); err != nil {
			return err
		}
	}
	_, err := runNotes(r, mailboxes).WriteTo(w)
	return err
}

// runColumns are the columns of a run's ledger: what must balance, and what the run did
// if it did any of it. A narrow terminal has no space for all of them beside the names.
func runColumns(r state.Run) []ui.Number[state.Ledger] {
	all := "server"
	if isImport(r) {
		all = "source"
	}
	return []ui.Number[state.Ledger]{
		{Title: all, Of: func(l state.Ledger) int64 { return int64(l.Server) }},
		{Title: "archived", Of: func(l state.Ledger) int64 { return int64(l.Archived) }},
		{Title: "failed", Of: func(l state.Ledger) int64 { return int64(l.Failed) }},
		{Title: "awaiting", Of: func(l state.Ledger) int64 { return int64(l.Awaiting) }, HideZero: true},
		{Title: "excluded", Of: func(l state.Ledger) int64 { return int64(l.Excluded) }},
		{Title: "added", Of: func(l state.Ledger) int64 { return int64(l.Added) }, HideZero: true},
		{Title: "matched", Of: func(l state.Ledger) int64 { return int64(l.Matched) }, HideZero: true},
		{Title: "linked", Of: func(l state.Ledger) int64 { return int64(l.Linked) }, HideZero: true},
		{Title: "flags", Of: func(l state.Ledger) int64 { return int64(l.FlagsChanged) }, HideZero: true},
		{Title: "vanished", Of: func(l state.Ledger) int64 { return int64(l.Gone) }, HideZero: true},
		{Title: "octets", Of: func(l state.Ledger) int64 { return l.Octets }, Format: ui.Octets, HideZero: true},
	}
}

// isInterrupted reports whether a signal stopped the run: its unfinished mailboxes are
// then no errors.
func isInterrupted(r state.Run) bool { return r.Error == commit.ErrInterrupted.Error() }

// isImport reports whether the run was an import from files.
func isImport(r state.Run) bool { return r.ImportSources != nil }

// runVerdict is the outcome of a run in one line.
func runVerdict(r state.Run) string {
	outcome, problem := ui.Outcome(r.Error, r.OK()), r.Error
	var details []string
	took := r.Ended.Sub(r.Started)
	pace := fmt.Sprintf("%v%s", ui.Elapsed(took), ui.Speed(r.Sum.Octets, took))
	switch {
	case isInterrupted(r):
		outcome, problem = "INTERRUPTED after "+pace, ""
		details = []string{"what had been received is archived"}
	case !r.Resumes.IsZero():
		if outcome = "INCOMPLETE after " + pace; took == 0 {
			outcome = "NOT STARTED"
		}
		details = []string{"goes on at " + ui.LocalTime(r.Resumes)}
	case r.Error != "":
	case !r.OK():
		outcome = "INCOMPLETE after " + pace
	default:
		outcome = "complete in " + pace
	}
	if isImport(r) {
		outcome = "import " + outcome
	}
	return ui.Verdict(outcome, problem, details...)
}

// ledgerName is a mailbox's name, with what its numbers don't say.
func ledgerName(l state.Ledger) string {
	return safetext.Line(l.Mailbox) + ledgerRemark(l)
}

func ledgerRemark(l state.Ledger) string {
	switch {
	case l.Skipped != "":
		return "  (not selectable)"
	case l.Vanished:
		return "  (no longer on the server; kept)"
	case l.Error != "":
		return "  (!)"
	case l.Postponed != "":
		return "  (" + safetext.Line(l.Postponed) + ")"
	case l.Rule != "":
		return excludedRemark(l.Excluded, l.Server, l.Rule)
	case l.Unchanged:
		return "  (unchanged)"
	}
	return ""
}

// excludedRemark names the rule that excluded messages, and their number if it is not
// all of them.
func excludedRemark(excluded, all int, rule string) string {
	if excluded < all {
		return fmt.Sprintf("  (%d excluded: %s)", excluded, safetext.Line(rule))
	}
	return "  (excluded: " + safetext.Line(rule) + ")"
}

// runNotes are the problems and warnings of a run.
func runNotes(r state.Run, mailboxes []state.Ledger) *ui.Notes {
	n := ui.NewNotes()
	for _, l := range mailboxes {
		if l.Error != "" && !isInterrupted(r) {
			n.Mailbox(l.Mailbox, "%s", l.Error)
		}
		for _, uid := range slices.Sorted(maps.Keys(l.Failures)) {
			n.Line("mailbox %s, UID %d: failed, and is tried again each run: %s", l.Mailbox, uid, l.Failures[uid])
		}
	}
	for _, s := range r.UnreadSources {
		n.Line("not imported: %s", s)
	}
	n.NoteAll(r.Warnings)
	if r.Sum.Awaiting > 0 {
		n.Line("%s archived with other sizes than the server announced, and asked for again on later days until both agree, or the same octets came in three runs on three days (docs/servers.md)",
			english.Plural(r.Sum.Awaiting, "message is", "messages are"))
	}
	if r.Sum.Again > 0 {
		n.Line("%s asked for again, because octets and announced sizes did not agree before; %s were received, and still do not agree",
			english.Plural(r.Sum.Again, "message was", "messages were"), ui.Octets(r.Sum.AgainOctets))
	}
	return n
}
