package main

import (
	"cmp"
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/restore"
)

// restoredName is a mailbox's name in the archive and, if it differs, on the server.
func restoredName(from, to string, isNew bool, problem string) string {
	name := safetext.Line(cmp.Or(from, to))
	if to != "" && to != from {
		name += " → " + safetext.Line(to)
	}
	if isNew {
		name += "  (new)"
	}
	if problem != "" {
		name += "  (!)"
	}
	return name
}

// printPlan prints what a restore would do.
func printPlan(w io.Writer, p *restore.Plan, from, to string, flagsOnly bool) error {
	fmt.Fprintf(w, "from %s\nto account %s: %s\n\n", safetext.Line(from), safetext.Line(p.Account), safetext.Line(to))
	if err := planTable(flagsOnly).Print(w, p.Mailboxes, &p.Sum); err != nil {
		return err
	}
	notes := ui.NewNotes()
	for _, m := range p.Mailboxes {
		if m.Error != "" {
			notes.Mailbox(m.From, "%s", m.Error)
		}
	}
	notes.NoteAll(p.Notices)
	if p.Sum.TooBig > 0 && !flagsOnly {
		notes.Note("larger than the server accepts, and left out: %s", english.Plural(p.Sum.TooBig, "message", ""))
	}
	if p.Free >= 0 && !flagsOnly {
		notes.Note("the quota leaves %s", ui.Octets(p.Free))
	}
	notes.Indent = ""
	switch {
	case hasWork(p, flagsOnly):
	case flagsOnly:
		notes.Line("nothing to do: the messages on the server have these flags already")
	default:
		notes.Line("nothing to do: all messages that can be restored are on the server already")
	}
	_, err := notes.WriteTo(w)
	return err
}

func planTable(flagsOnly bool) *ui.Table[restore.PlannedMailbox] {
	type row = restore.PlannedMailbox
	missing := ui.Number[row]{Title: "to append", Of: func(m row) int64 { return int64(m.Missing) }, Format: ui.Comma}
	if flagsOnly {
		missing.Title, missing.HideZero = "not there", true
	}
	table := &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "selected", Of: func(m row) int64 { return int64(m.Selected) }, Format: ui.Comma},
			{Title: "there", Of: func(m row) int64 { return int64(m.Present) }, Format: ui.Comma},
			{Title: "in another form", Of: func(m row) int64 { return int64(m.Altered) }, Format: ui.Comma, HideZero: true},
			missing,
			{Title: "too large", Of: func(m row) int64 { return int64(m.TooBig) }, Format: ui.Comma, HideZero: true},
			{Title: "octets", Of: func(m row) int64 { return m.Octets }, Format: ui.Octets, HideZero: true},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(m row) string { return restoredName(m.From, m.To, m.Create, m.Error) }}},
	}
	if flagsOnly {
		table.Numbers = append(table.Numbers, ui.Number[row]{Title: "other flags", Of: func(m row) int64 { return int64(m.Flags) }, Format: ui.Comma})
	}
	return table
}

// restoreQuestion asks whether the plan is to be carried out.
func restoreQuestion(p *restore.Plan, to string, flagsOnly bool) string {
	if flagsOnly {
		return fmt.Sprintf("Set the flags of %s of %s?", english.Plural(p.Sum.Flags, "message", ""), to)
	}
	return fmt.Sprintf("Append %s (%s) to %s?", english.Plural(p.Sum.Missing, "message", ""), ui.Octets(p.Sum.Octets), to)
}

// printRestored prints the result of a restore for people.
func printRestored(w io.Writer, r *restore.Result, flagsOnly bool) error {
	fmt.Fprintf(w, "\n%s: %s\n", safetext.Line(r.Account), restoreVerdict(r, flagsOnly))
	if err := restoredTable(flagsOnly).Print(w, r.Mailboxes, &r.Sum); err != nil {
		return err
	}
	notes := ui.NewNotes()
	for i := range r.Mailboxes {
		noteRestored(notes, &r.Mailboxes[i])
	}
	notes.NoteAll(r.Notices)
	if !r.OK() {
		notes.Indent = ""
		notes.Line("correct the problem and run the same command again: messages that are on the server are not appended again")
	}
	_, err := notes.WriteTo(w)
	return err
}

func restoredTable(flagsOnly bool) *ui.Table[restore.MailboxResult] {
	type row = restore.MailboxResult
	return &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "selected", Of: func(m row) int64 { return int64(m.Selected) }, Format: ui.Comma},
			{Title: "there", Of: func(m row) int64 { return int64(m.Present) }, Format: ui.Comma},
			{Title: "in another form", Of: func(m row) int64 { return int64(m.Altered) }, Format: ui.Comma, HideZero: true},
			{Title: "appended", Of: func(m row) int64 { return int64(m.Appended) }, Format: ui.Comma, HideZero: flagsOnly},
			{Title: "flags set", Of: func(m row) int64 { return int64(m.Flags) }, Format: ui.Comma, HideZero: !flagsOnly},
			{Title: "not there", Of: func(m row) int64 { return int64(m.NotFound) }, Format: ui.Comma, HideZero: true},
			{Title: "refused", Of: func(m row) int64 { return int64(m.Refused) }, Format: ui.Comma},
			{Title: "left", Of: func(m row) int64 { return int64(m.Unsent) }, Format: ui.Comma},
			{Title: "changed", Of: func(m row) int64 { return int64(m.Changed) }, Format: ui.Comma, HideZero: true},
			{Title: "octets", Of: func(m row) int64 { return m.Octets }, Format: ui.Octets, HideZero: true},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(m row) string { return restoredName(m.From, m.To, m.Created, m.Error) }}},
	}
}

// noteRestored notes the problems of a mailbox, and what to know about it.
func noteRestored(n *ui.Notes, m *restore.MailboxResult) {
	if m.Error != "" {
		n.Mailbox(m.From, "%s", m.Error)
	}
	for _, p := range m.Problems {
		what := "refused"
		if p.Changed {
			what = "changed by the server"
		}
		n.Line("%s: %s: %s", p.ID, what, p.Reason)
	}
	if more := m.Refused + m.Changed - len(m.Problems); len(m.Problems) > 0 && more > 0 {
		n.Mailbox(m.From, "and %s more", humanize.Comma(int64(more)))
	}
	for _, text := range m.Notices {
		n.Note("mailbox %s: %s", m.To, text)
	}
}

// restoreVerdict is the outcome of a restore in one line.
func restoreVerdict(r *restore.Result, flagsOnly bool) string {
	done := english.Plural(r.Sum.Appended, "message", "") + " appended"
	if flagsOnly {
		done = fmt.Sprintf("flags of %s set", english.Plural(r.Sum.Flags, "message", ""))
	}
	took := r.Ended.Sub(r.Started)
	return ui.Verdict(ui.Outcome(r.Error, r.OK()), r.Error, fmt.Sprintf("%s in %v%s", done, ui.Elapsed(took), ui.Speed(r.Sum.Octets, took)))
}
