package main

import (
	"fmt"
	"io"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/remote"
)

// printPurgePlan prints how many messages would be deleted, how many stay, and why.
func printPurgePlan(w io.Writer, plan []*remote.PurgedMailbox) error {
	type row = *remote.PurgedMailbox
	table := &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "messages", Of: func(p row) int64 { return int64(p.Messages) }},
			{Title: "to delete", Of: func(p row) int64 { return int64(p.Chosen) }},
			{Title: "octets", Of: func(p row) int64 { return p.Octets }, Format: ui.Octets},
			{Title: "too young", Of: func(p row) int64 { return int64(p.TooYoung) }},
			{Title: "new in archive", Of: func(p row) int64 { return int64(p.NewInArchive) }},
			{Title: "flagged", Of: func(p row) int64 { return int64(p.Flagged) }},
			{Title: "unproven", Of: func(p row) int64 { return int64(len(p.Unproven)) }},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(p row) string { return safetext.Line(p.Mailbox) }}},
	}
	if err := table.Print(w, plan, nil); err != nil {
		return err
	}
	notes := &ui.Notes{}
	for _, p := range plan {
		for _, reason := range remote.Reasons(p.Unproven) {
			notes.Line("stays: %s", reason)
		}
		if p.HeldForDamage > 0 {
			notes.Line("mailbox %q: %s could be deleted and stay, because a file of this mailbox in the archive is damaged", p.Mailbox, english.Plural(p.HeldForDamage, "more message", ""))
		}
		if p.Error != "" {
			notes.Line("mailbox %q: %s", p.Mailbox, p.Error)
		}
	}
	_, err := notes.WriteTo(w)
	return err
}

// printPurged prints how many messages were deleted.
func printPurged(w io.Writer, plan []*remote.PurgedMailbox, server string) error {
	deleted := 0
	notes := &ui.Notes{}
	for _, p := range plan {
		deleted += p.Gone
		if p.Chosen == 0 {
			continue
		}
		text := fmt.Sprintf("mailbox %q: %d deleted", p.Mailbox, p.Gone)
		if p.Changed > 0 {
			text += fmt.Sprintf(", %d changed meanwhile and stay", p.Changed)
		}
		if p.Error != "" {
			text += "; " + p.Error
		}
		notes.Line("%s", text)
	}
	notes.Line("%s deleted from %s", english.Plural(deleted, "message", ""), server)
	_, err := notes.WriteTo(w)
	return err
}
