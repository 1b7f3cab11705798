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
)

// logPrinter prints changes for people: under a heading what a run found in a
// mailbox.
type logPrinter struct {
	r        *archive.Archive
	out      io.Writer
	short    bool
	accounts bool               // there are several
	only     archive.MailboxDir // all is under its heading; zero: of each its own
}

// roundGap is how long nothing is seen between two runs, at least.
const roundGap = time.Minute

// print prints the changes of an account, which are by time.
func (p *logPrinter) print(changes []*history.Change) error {
	w := bufio.NewWriter(p.out)
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && changes[n].At.Sub(changes[n-1].At) <= roundGap {
			n++
		}
		p.round(w, changes[:n])
		changes = changes[n:]
	}
	return w.Flush()
}

// dir is the mailbox under whose heading a change is.
func (p *logPrinter) dir(c *history.Change) string {
	if p.only != (archive.MailboxDir{}) {
		return p.only.Dir
	}
	return c.Mailbox.Dir
}

// round prints what was seen at about one time.
func (p *logPrinter) round(w io.Writer, changes []*history.Change) {
	slices.SortStableFunc(changes, func(x, y *history.Change) int { return cmp.Compare(p.dir(x), p.dir(y)) })
	for len(changes) > 0 {
		n := 1
		for n < len(changes) && p.dir(changes[n]) == p.dir(changes[0]) {
			n++
		}
		p.heading(w, changes[:n])
		for _, c := range changes[:n] {
			if !p.short {
				fmt.Fprintf(w, "  %-10s  %s\n", string(c.Kind), p.line(c))
			}
		}
		changes = changes[n:]
	}
}

// heading says when and where, and how much of what.
func (p *logPrinter) heading(w io.Writer, changes []*history.Change) {
	c := changes[0]
	name := c.Name.Mailbox
	if p.only != (archive.MailboxDir{}) && c.Mailbox != p.only {
		name = c.From.Name.Mailbox
	}
	if p.accounts {
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
	fmt.Fprintf(w, "%s  %s: %s\n", c.At.Local().Format("2006-01-02 15:04"), safetext.Line(name), strings.Join(counts, ", "))
}

// line is a change on one line, without its kind.
func (p *logPrinter) line(c *history.Change) string {
	messages := english.Plural(c.Count, "message", "")
	switch c.Kind {
	case history.MailboxCreated, history.MailboxReturned:
		return fmt.Sprintf("the mailbox, UIDVALIDITY %d", c.UIDValidity)
	case history.MailboxVanished:
		return "the mailbox, which had " + messages
	case history.MailboxRenamed:
		return safetext.Line(fmt.Sprintf("%s → %s, with %s", c.From.Name.Mailbox, c.Name.Mailbox, messages))
	case history.MailboxRenumbered:
		return fmt.Sprintf("UIDVALIDITY %d → %d, with %s", c.OldUIDValidity, c.UIDValidity, messages)
	case history.MessageFailed:
		return safetext.Line(fmt.Sprintf("UID %d: %s", c.UID, c.Reason))
	case history.MessageGone:
		if c.Message == nil {
			return safetext.Line(fmt.Sprintf("UID %d, which could not be archived: %s", c.UID, c.Reason))
		}
	}
	id := c.Mailbox.ID(c.Message)
	from, subject := heading(p.r, id)
	var more string
	switch {
	case len(c.FlagsAdded)+len(c.FlagsRemoved) > 0:
		for _, f := range c.FlagsAdded {
			more += "+" + f + " "
		}
		for _, f := range c.FlagsRemoved {
			more += "-" + f + " "
		}
		more += " "
	case c.From != nil && c.From.Mailbox == c.Mailbox:
		more = fmt.Sprintf("UID %d → %d  ", c.From.Message.UID, c.UID)
	case c.From != nil:
		more = c.From.Name.Mailbox + " → " + c.Name.Mailbox + "  "
	case c.Reason != "":
		more = "at last, after: " + c.Reason + "  "
	}
	return pad(from, 28) + "  " + pad(subject, 44) + "  " + safetext.Line(more+id)
}
