package main

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/export"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// printExported prints the result of an export for people.
func printExported(w io.Writer, r *export.Report) error {
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(r.Target), exportVerdict(r))
	accounts := map[string]bool{}
	rows := make([]*export.Mailbox, len(r.Mailboxes))
	for i := range r.Mailboxes {
		rows[i] = &r.Mailboxes[i]
		accounts[rows[i].Account] = true
	}
	table := exportTable(len(accounts) > 1)
	sum := &r.Sum
	if err := table.Print(w, rows, &sum); err != nil {
		return err
	}
	notes := ui.NewNotes()
	for _, m := range rows {
		noteExported(notes, m)
	}
	notes.NoteAll(r.Notices)
	if r.Sum.Damaged > 0 {
		notes.Line("damaged messages were left out: run `archiverd verify`, and look for them in a backup")
	}
	_, err := notes.WriteTo(w)
	return err
}

func exportTable(severalAccounts bool) *ui.Table[*export.Mailbox] {
	type row = *export.Mailbox
	return &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "selected", Of: func(m row) int64 { return int64(m.Selected) }, Format: ui.Comma},
			{Title: "written", Of: func(m row) int64 { return int64(m.Written) }, Format: ui.Comma},
			{Title: "there", Of: func(m row) int64 { return int64(m.Present) }, Format: ui.Comma, HideZero: true},
			{Title: "altered", Of: func(m row) int64 { return int64(m.Altered) }, Format: ui.Comma, HideZero: true},
			{Title: "damaged", Of: func(m row) int64 { return int64(m.Damaged) }, Format: ui.Comma, HideZero: true},
			{Title: "failed", Of: func(m row) int64 { return int64(m.Failed) }, Format: ui.Comma, HideZero: true},
			{Title: "octets", Of: func(m row) int64 { return m.Octets }, Format: ui.Octets},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(m row) string {
			name := safetext.Line(m.Mailbox)
			if severalAccounts {
				name = safetext.Line(m.Account) + "  " + name
			}
			if m.Error != "" {
				name += "  (!)"
			}
			return name
		}}},
	}
}

// noteExported notes the problems of a mailbox. It names the first messages of each kind
// of problem, and counts the others.
func noteExported(n *ui.Notes, m *export.Mailbox) {
	if m.Error != "" {
		n.Mailbox(m.Mailbox, "%s", m.Error)
	}
	named := map[string]int{}
	for _, t := range m.Trouble {
		named[t.Kind]++
		n.Line("%s: %s: %s", t.ID, t.Kind, t.Reason)
	}
	if m.Error != "" {
		return
	}
	for _, kind := range []struct {
		name  string
		count int
	}{{export.Damaged, m.Damaged}, {export.Failed, m.Failed}, {export.Altered, m.Altered}} {
		if more := kind.count - named[kind.name]; more > 0 {
			n.Mailbox(m.Mailbox, "and %s more that are %s", humanize.Comma(int64(more)), kind.name)
		}
	}
}

// exportVerdict is the outcome of an export in one line.
func exportVerdict(r *export.Report) string {
	took := r.Ended.Sub(r.Started)
	done := fmt.Sprintf("%s in %v", english.Plural(r.Sum.Written, "message", ""), ui.Elapsed(took))
	if r.Sum.Written > 0 { // else the octets are all of messages that were there
		done += ui.Speed(r.Sum.Octets, took)
	}
	return ui.Verdict(ui.Outcome(r.Error, r.OK()), r.Error, done)
}
