package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/sync/restore"
)

// restoreColumn is a column of a table of mailboxes. It is left out where it
// counts nothing, unless it is to be there always.
type restoreColumn[T any] struct {
	title  string
	always bool
	count  func(T) int64
	octets bool // it counts octets
}

func (c restoreColumn[T]) cell(row T) string {
	n := c.count(row)
	if c.octets {
		return humanize.IBytes(uint64(n))
	}
	return humanize.Comma(n)
}

// printBoxes prints a table: a line a mailbox, and one for all.
func printBoxes[T any](w io.Writer, columns []restoreColumn[T], rows []T, sum T, name func(T) string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cell func(restoreColumn[T]) string, name string) {
		for _, c := range columns {
			if c.always || c.count(sum) != 0 {
				fmt.Fprint(t, cell(c), "\t")
			}
		}
		fmt.Fprintf(t, "\t%s\n", name)
	}
	line(func(c restoreColumn[T]) string { return c.title }, "mailbox")
	for _, r := range rows {
		line(func(c restoreColumn[T]) string { return c.cell(r) }, name(r))
	}
	line(func(c restoreColumn[T]) string { return c.cell(sum) }, "in all")
	return t.Flush()
}

// restoredName is a mailbox of the archive, and what the server calls it.
func restoredName(from, to string, made bool, fault string) string {
	name := safetext.Line(cmp.Or(from, to))
	if to != "" && to != from {
		name += " → " + safetext.Line(to)
	}
	if made {
		name += "  (new)"
	}
	if fault != "" {
		name += "  (!)"
	}
	return name
}

// printPlan prints what a restore would do.
func printPlan(w io.Writer, p *restore.Plan, from, to string, flagsOnly bool) error {
	fmt.Fprintf(w, "from %s\nto account %s: %s\n\n", safetext.Line(from), safetext.Line(p.Account), safetext.Line(to))
	type row = restore.PlannedMailbox
	columns := []restoreColumn[row]{
		{title: "selected", always: true, count: func(r row) int64 { return int64(r.Selected) }},
		{title: "there", always: true, count: func(r row) int64 { return int64(r.Present) }},
		{title: "in another form", count: func(r row) int64 { return int64(r.Altered) }},
		{title: "to append", always: true, count: func(r row) int64 { return int64(r.Missing) }},
		{title: "too large", count: func(r row) int64 { return int64(r.TooBig) }},
		{title: "octets", count: func(r row) int64 { return r.Octets }, octets: true},
	}
	if flagsOnly {
		columns[3].title, columns[3].always = "not there", false
		columns = append(columns, restoreColumn[row]{title: "other flags", always: true, count: func(r row) int64 { return int64(r.Flags) }})
	}
	err := printBoxes(w, columns, p.Mailboxes, p.Sum, func(r row) string { return restoredName(r.From, r.To, r.Create, r.Error) })
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, m := range p.Mailboxes {
		if m.Error != "" {
			fmt.Fprintf(&b, "  mailbox %s: %s\n", safetext.Line(m.From), safetext.Line(m.Error))
		}
	}
	for _, n := range p.Notices {
		fmt.Fprintf(&b, "  note: %s\n", safetext.Line(n))
	}
	if p.Sum.TooBig > 0 && !flagsOnly {
		fmt.Fprintf(&b, "  note: the server takes no message as large as %d of these, which are left out\n", p.Sum.TooBig)
	}
	if p.Free >= 0 && !flagsOnly {
		fmt.Fprintf(&b, "  note: the quota leaves %s\n", humanize.IBytes(uint64(p.Free)))
	}
	switch {
	case anythingToDo(p, flagsOnly):
	case flagsOnly:
		b.WriteString("nothing to do: the messages that are there have their flags\n")
	default:
		b.WriteString("nothing to do: all that can be put there is there\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// question asks whether the plan is to be carried out.
func question(p *restore.Plan, to string, flagsOnly bool) string {
	if flagsOnly {
		return fmt.Sprintf("Set the flags of %s messages of %s?", humanize.Comma(int64(p.Sum.Flags)), to)
	}
	return fmt.Sprintf("Append %s messages (%s) to %s?", humanize.Comma(int64(p.Sum.Missing)), humanize.IBytes(uint64(p.Sum.Octets)), to)
}

// printRestored prints what became of a restore.
func printRestored(w io.Writer, m *restore.Result, flagsOnly bool) error {
	fmt.Fprintf(w, "\n%s: %s\n", safetext.Line(m.Account), restoredVerdict(m, flagsOnly))
	type row = restore.MailboxResult
	columns := []restoreColumn[row]{
		{title: "selected", always: true, count: func(r row) int64 { return int64(r.Selected) }},
		{title: "there", always: true, count: func(r row) int64 { return int64(r.Present) }},
		{title: "in another form", count: func(r row) int64 { return int64(r.Altered) }},
		{title: "appended", always: !flagsOnly, count: func(r row) int64 { return int64(r.Appended) }},
		{title: "flags set", always: flagsOnly, count: func(r row) int64 { return int64(r.Flags) }},
		{title: "not there", count: func(r row) int64 { return int64(r.NotFound) }},
		{title: "refused", always: true, count: func(r row) int64 { return int64(r.Refused) }},
		{title: "left", always: true, count: func(r row) int64 { return int64(r.Unsent) }},
		{title: "changed", count: func(r row) int64 { return int64(r.Changed) }},
		{title: "octets", count: func(r row) int64 { return r.Octets }, octets: true},
	}
	err := printBoxes(w, columns, m.Mailboxes, m.Sum, func(r row) string { return restoredName(r.From, r.To, r.Created, r.Error) })
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, box := range m.Mailboxes {
		if box.Error != "" {
			fmt.Fprintf(&b, "  mailbox %s: %s\n", safetext.Line(box.From), safetext.Line(box.Error))
		}
		for _, t := range box.Problems {
			what := "refused"
			if t.Changed {
				what = "changed by the server"
			}
			fmt.Fprintf(&b, "  %s: %s: %s\n", safetext.Line(t.ID), what, safetext.Line(t.Reason))
		}
		if more := box.Refused + box.Changed - len(box.Problems); len(box.Problems) > 0 && more > 0 {
			fmt.Fprintf(&b, "  mailbox %s: and %s more\n", safetext.Line(box.From), humanize.Comma(int64(more)))
		}
		for _, n := range box.Notices {
			fmt.Fprintf(&b, "  note: mailbox %s: %s\n", safetext.Line(box.To), safetext.Line(n))
		}
	}
	for _, n := range m.Notices {
		fmt.Fprintf(&b, "  note: %s\n", safetext.Line(n))
	}
	if !m.OK() {
		b.WriteString("run the same command again when that is mended: what is there is not appended again\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// restoredVerdict is the outcome of a restore in a few words.
func restoredVerdict(m *restore.Result, flagsOnly bool) string {
	took := m.Ended.Sub(m.Started)
	done := fmt.Sprintf("%s appended", english.Plural(m.Sum.Appended, "message", ""))
	if flagsOnly {
		done = fmt.Sprintf("flags of %s set", english.Plural(m.Sum.Flags, "message", ""))
	}
	done += fmt.Sprintf(" in %v", took.Round(10*time.Millisecond))
	if s := took.Seconds(); m.Sum.Octets > 0 && s > 0 {
		done += fmt.Sprintf(", %s/s", humanize.IBytes(uint64(float64(m.Sum.Octets)/s)))
	}
	switch {
	case m.Error != "":
		return "FAILED: " + safetext.Line(strings.ReplaceAll(m.Error, "\n", "; ")) + "; " + done // of joined errors
	case !m.OK():
		return "INCOMPLETE: " + done
	}
	return "complete: " + done
}
