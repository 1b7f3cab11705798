package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"

	"archiverd/internal/export"
	"archiverd/internal/safetext"
)

// printExported prints what became of an export.
func printExported(w io.Writer, r *export.Report) error {
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(r.Target), exportedVerdict(r))
	type row = *export.Mailbox
	columns := []restoreColumn[row]{
		{title: "selected", always: true, count: func(r row) int64 { return int64(r.Selected) }},
		{title: "written", always: true, count: func(r row) int64 { return int64(r.Written) }},
		{title: "there", count: func(r row) int64 { return int64(r.Present) }},
		{title: "altered", count: func(r row) int64 { return int64(r.Altered) }},
		{title: "damaged", count: func(r row) int64 { return int64(r.Damaged) }},
		{title: "failed", count: func(r row) int64 { return int64(r.Failed) }},
		{title: "octets", always: true, count: func(r row) int64 { return r.Octets }, octets: true},
	}
	var rows []row
	accounts := map[string]bool{}
	for i := range r.Mailboxes {
		rows = append(rows, &r.Mailboxes[i])
		accounts[r.Mailboxes[i].Account] = true
	}
	err := printBoxes(w, columns, rows, &r.Sum, func(r row) string {
		name := safetext.Line(r.Mailbox)
		if len(accounts) > 1 {
			name = safetext.Line(r.Account) + "  " + name
		}
		if r.Error != "" {
			name += "  (!)"
		}
		return name
	})
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, m := range rows {
		if m.Error != "" {
			fmt.Fprintf(&b, "  mailbox %s: %s\n", safetext.Line(m.Mailbox), safetext.Line(m.Error))
		}
		shown := map[string]int{}
		for _, t := range m.Trouble {
			shown[t.Kind]++
			fmt.Fprintf(&b, "  %s: %s: %s\n", safetext.Line(t.ID), t.Kind, safetext.Line(t.Reason))
		}
		for _, kind := range []struct {
			name string
			n    int
		}{{export.Damaged, m.Damaged}, {export.Failed, m.Failed}, {export.Altered, m.Altered}} {
			if more := kind.n - shown[kind.name]; more > 0 && m.Error == "" {
				fmt.Fprintf(&b, "  mailbox %s: and %s more that are %s\n", safetext.Line(m.Mailbox), humanize.Comma(int64(more)), kind.name)
			}
		}
	}
	for _, n := range r.Notices {
		fmt.Fprintf(&b, "  note: %s\n", safetext.Line(n))
	}
	if r.Sum.Damaged > 0 {
		b.WriteString("  what is damaged was left out: `archiverd verify`, and a backup\n")
	}
	_, err = io.WriteString(w, b.String())
	return err
}

// exportedVerdict is the outcome of an export in a few words.
func exportedVerdict(r *export.Report) string {
	took := r.Ended.Sub(r.Started)
	done := fmt.Sprintf("%s in %v", english.Plural(r.Sum.Written, "message", ""), took.Round(10*time.Millisecond))
	if s := took.Seconds(); r.Sum.Written > 0 && s > 0 {
		done += fmt.Sprintf(", %s/s", humanize.IBytes(uint64(float64(r.Sum.Octets)/s)))
	}
	switch {
	case r.Error != "":
		return "FAILED: " + safetext.Line(strings.ReplaceAll(r.Error, "\n", "; ")) + "; " + done
	case !r.OK():
		return "INCOMPLETE: " + done
	}
	return "complete: " + done
}
