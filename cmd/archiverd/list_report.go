package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// The columns of a list of messages.
const (
	flagColumns    = 18
	senderColumns  = 28
	subjectColumns = 44
	placeColumns   = 28
)

func printMailboxes(w io.Writer, list []listedMailbox) error {
	type row = listedMailbox
	table := &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "messages", Of: func(l row) int64 { return int64(l.Messages) }},
			{Title: "gone", Of: func(l row) int64 { return int64(l.Gone) }},
			{Title: "failed", Of: func(l row) int64 { return int64(l.Failed) }},
			{Title: "octets", Of: func(l row) int64 { return l.Octets }, Format: ui.Octets},
		},
		Texts: []ui.Text[row]{
			{Title: "account", Of: func(l row) string { return safetext.Line(l.Account) }},
			{Title: "mailbox", Of: func(l row) string { return safetext.Line(l.Mailbox) }},
		},
	}
	return table.Print(w, list, nil)
}

func printMessages(w io.Writer, list []listedMessage) error {
	b := bufio.NewWriter(w)
	for _, l := range list {
		fmt.Fprintf(b, "%s  %9s  %s  %s  %s  %s\n", ui.Minute(l.InternalDate), ui.Octets(l.Size), ui.Pad(strings.Join(l.Flags, " "), flagColumns),
			ui.Pad(l.From, senderColumns), ui.Pad(l.Subject, subjectColumns), safetext.Line(l.ID))
	}
	return b.Flush()
}

// printGone prints messages that are gone, or with moved those that were moved or came
// back. others is how many messages of the other kind there are.
func printGone(w io.Writer, list []listedMessage, others int, moved, severalAccounts bool) error {
	b := bufio.NewWriter(w)
	for _, m := range list {
		place := m.Mailbox
		if severalAccounts {
			place = m.Account + "/" + place
		}
		if m.To != nil {
			place += " → " + m.To.Mailbox
		}
		fmt.Fprintf(b, "%s  %s  %s  %s  %s\n", ui.LocalMinute(m.Gone), ui.Pad(place, placeColumns), ui.Pad(m.From, senderColumns), ui.Pad(m.Subject, subjectColumns), safetext.Line(m.ID))
	}
	many := humanize.Comma(int64(others))
	switch {
	case moved && others > 0:
		fmt.Fprintf(b, "(%s gone: list them with --gone)\n", english.PluralWord(others, "one more is", many+" more are"))
	case others > 0:
		fmt.Fprintf(b, "(%s moved: list them with --moved)\n", english.PluralWord(others, "one more came back or was", many+" more came back or were"))
	case len(list) == 0:
		fmt.Fprintln(b, "(nothing)")
	}
	return b.Flush()
}
