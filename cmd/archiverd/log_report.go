package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// logPrinter prints changes for people: under a heading what a run found in a mailbox.
type logPrinter struct {
	archive         *archive.Archive
	out             io.Writer
	short           bool
	severalAccounts bool
	only            archive.MailboxDir // the mailbox of all headings; zero: each has its own
}

// minRunGap is the shortest time between the changes of two runs.
const minRunGap = time.Minute

// print prints the changes of an account, which are in order of time.
func (p *logPrinter) print(changes []*history.Change) error {
	w := bufio.NewWriter(p.out)
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].At.Sub(changes[n-1].At) <= minRunGap {
			n++
		}
		p.printRun(w, changes[:n])
		changes = changes[n:]
	}
	return w.Flush()
}

// mailboxOf is the directory of the mailbox under whose heading a change is printed.
func (p *logPrinter) mailboxOf(c *history.Change) string {
	if p.only != (archive.MailboxDir{}) {
		return p.only.Dir
	}
	return c.Mailbox.Dir
}

// printRun prints the changes that one run found, by mailbox.
func (p *logPrinter) printRun(w io.Writer, changes []*history.Change) {
	slices.SortStableFunc(changes, func(x, y *history.Change) int { return cmp.Compare(p.mailboxOf(x), p.mailboxOf(y)) })
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && p.mailboxOf(changes[n]) == p.mailboxOf(changes[0]) {
			n++
		}
		p.printHeading(w, changes[:n])
		for _, c := range changes[:n] {
			if !p.short {
				fmt.Fprintf(w, "  %-10s  %s\n", string(c.Kind), p.line(c))
			}
		}
		changes = changes[n:]
	}
}

// printHeading prints the time, the mailbox and the number of changes of each kind.
func (p *logPrinter) printHeading(w io.Writer, changes []*history.Change) {
	c := changes[0]
	name := c.Name.Mailbox
	if p.only != (archive.MailboxDir{}) && c.Mailbox != p.only {
		name = c.From.Name.Mailbox
	}
	if p.severalAccounts {
		name = c.Mailbox.Account + "/" + name
	}
	var kinds []history.ChangeKind
	count := map[history.ChangeKind]int{}
	for _, c := range changes {
		if count[c.Kind]++; count[c.Kind] == 1 {
			kinds = append(kinds, c.Kind)
		}
	}
	var counts []string
	for _, k := range kinds {
		counts = append(counts, humanize.Comma(int64(count[k]))+" "+string(k))
	}
	fmt.Fprintf(w, "%s  %s: %s\n", ui.LocalMinute(c.At), safetext.Line(name), strings.Join(counts, ", "))
}

// line is a change on one line, without its kind.
func (p *logPrinter) line(c *history.Change) string {
	if text, ok := lineOfMailbox(c); ok {
		return text
	}
	id := c.Mailbox.ID(c.Message)
	from, subject := senderAndSubject(p.archive, id)
	return ui.Pad(from, senderColumns) + "  " + ui.Pad(subject, subjectColumns) + "  " + safetext.Line(messageDetail(c)+id)
}

// lineOfMailbox is the line of a change of a mailbox, or of a message that was never
// archived. ok is false for a change of an archived message.
func lineOfMailbox(c *history.Change) (text string, ok bool) {
	messages := english.Plural(c.Count, "message", "")
	switch c.Kind {
	case history.MailboxCreated, history.MailboxReturned:
		return fmt.Sprintf("the mailbox, UIDVALIDITY %d", c.UIDValidity), true
	case history.MailboxVanished:
		return "the mailbox, which had " + messages, true
	case history.MailboxRenamed:
		return safetext.Line(fmt.Sprintf("%s → %s, with %s", c.From.Name.Mailbox, c.Name.Mailbox, messages)), true
	case history.MailboxRenumbered:
		return fmt.Sprintf("UIDVALIDITY %d → %d, with %s", c.OldUIDValidity, c.UIDValidity, messages), true
	case history.MessageFailed:
		return safetext.Line(fmt.Sprintf("UID %d: %s", c.UID, c.Reason)), true
	case history.MessageGone:
		if c.Message == nil {
			return safetext.Line(fmt.Sprintf("UID %d, which could not be archived: %s", c.UID, c.Reason)), true
		}
	}
	return "", false
}

// messageDetail is what the kind of a change does not say about an archived message: its
// flags, its former mailbox or UID, or why it was not archived before. It ends with
// spaces, or is empty.
func messageDetail(c *history.Change) string {
	switch {
	case len(c.FlagsAdded)+len(c.FlagsRemoved) > 0:
		var detail string
		for _, f := range c.FlagsAdded {
			detail += "+" + f + " "
		}
		for _, f := range c.FlagsRemoved {
			detail += "-" + f + " "
		}
		return detail + " "
	case c.From != nil && c.From.Mailbox == c.Mailbox:
		return fmt.Sprintf("UID %d → %d  ", c.From.Message.UID, c.UID)
	case c.From != nil:
		return c.From.Name.Mailbox + " → " + c.Name.Mailbox + "  "
	case c.Reason != "":
		return "failed before: " + c.Reason + "  "
	}
	return ""
}
