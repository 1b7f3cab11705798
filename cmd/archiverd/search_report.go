package main

import (
	"bufio"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/internal/search"
	"archiverd/internal/ui"
)

// foundLine says how many messages were found, and what else to try.
func foundLine(found *search.Report, limit int, gone bool) string {
	n := len(found.Results)
	switch {
	case found.HasMore:
		return fmt.Sprintf("the newest %s; there are more: --limit 0 shows all", english.Plural(limit, "message", ""))
	case n == 0 && gone:
		return "no message found; a word matches whole words only, begin* matches words that begin like this"
	case n == 0:
		return "no message found; --gone searches what the servers no longer have, begin* matches words that begin like this"
	}
	return english.Plural(n, "message", "") + " found"
}

// foundLayout is the number of columns of each part of a line.
type foundLayout struct {
	sender, subject, mailbox int
	id                       idLayout
}

// idLayout is how the ID of a message is printed.
type idLayout int

const (
	fullID  idLayout = iota // at the end of the line
	shortID                 // without the directories
	idBelow                 // on a line of its own
)

// The columns of a date, of an ID without its directories, and between two parts.
const (
	dateColumns    = 16
	shortIDColumns = 32
	gapColumns     = 2
)

const (
	minScreenColumns  = 40  // of a terminal of fewer columns, or unknown width, 80 are assumed
	minColumnsForID   = 100 // beside the date: with fewer the ID is below
	mailboxColumns    = 20  // without a terminal
	assumedColumns    = 80
	senderPerCent     = 30 // of the columns that date and ID leave
	mailboxPerCent    = 20
	wholePerCent      = 100
	rightMarginColumn = 1 // a line that fills the last column would wrap on some terminals
)

// newFoundLayout fits the lines to the terminal. Without a terminal they are like those of
// list, with the whole ID.
func newFoundLayout(out io.Writer) foundLayout {
	f := ui.Terminal(out)
	if f == nil {
		return foundLayout{sender: senderColumns, subject: subjectColumns, mailbox: mailboxColumns}
	}
	width := ui.Width(f)
	if width < minScreenColumns {
		width = assumedColumns
	}
	l := foundLayout{id: idBelow}
	columns := width - rightMarginColumn - dateColumns - 3*gapColumns
	if columns >= minColumnsForID {
		columns -= shortIDColumns + gapColumns
		l.id = shortID
	}
	l.sender, l.mailbox = columns*senderPerCent/wholePerCent, columns*mailboxPerCent/wholePerCent
	l.subject = columns - l.sender - l.mailbox
	return l
}

// printFound prints the results of a search, each on a line.
func printFound(out io.Writer, list []foundMessage) error {
	l, colour := newFoundLayout(out), ui.NewColour(out)
	w := bufio.NewWriter(out)
	for _, m := range list {
		fmt.Fprintf(w, "%s  %s  %s  %s", colour.Paint(ui.Dim, ui.Minute(m.Date)), ui.Pad(shortSender(m.From), l.sender),
			colour.Paint(ui.Bold, ui.Pad(m.Subject, l.subject)), placesOf(m, l.mailbox))
		id := safetext.Line(m.ID)
		switch l.id {
		case idBelow:
			fmt.Fprintf(w, "\n    %s\n", colour.Paint(ui.Dim, id))
		case shortID:
			fmt.Fprintf(w, "  %s\n", colour.Paint(ui.Dim, safetext.Line(strings.TrimSuffix(path.Base(m.ID), ".eml"))))
		default:
			fmt.Fprintf(w, "  %s\n", id)
		}
	}
	return w.Flush()
}

// shortSender is the name in a From field, or the field if it has no name.
func shortSender(field string) string {
	name, _, _ := strings.Cut(field, "<")
	if name = strings.Trim(strings.TrimSpace(name), `"'`); name == "" {
		return field
	}
	return name
}

// placesOf is the mailbox of a message's first place, and the number of its other places.
func placesOf(m foundMessage, width int) string {
	others := ""
	if n := len(m.Places) - 1; n > 0 {
		others = fmt.Sprintf(" +%d", n)
	}
	return ui.PadWith(m.Places[0].Mailbox, others, width)
}
