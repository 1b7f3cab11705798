package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize/english"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/internal/uid"
	"archiverd/sync/check"
)

// printCheckReport prints the report of status --check for people.
func printCheckReport(w io.Writer, r *checkReport) error {
	fmt.Fprintf(w, "archive %s\n", safetext.Line(r.Archive))
	notes := &ui.Notes{}
	notes.NoteAll(r.Notes)
	if _, err := notes.WriteTo(w); err != nil {
		return err
	}
	for i := range r.Accounts {
		fmt.Fprintln(w)
		if err := printCheck(w, &r.Accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

// printCheck prints the verdict for an account, the balance of its mailboxes, and what
// does not balance.
func printCheck(w io.Writer, c *check.Report) error {
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(c.Account), checkVerdict(c))
	if len(c.Mailboxes) > 0 {
		if err := printBalances(w, c); err != nil {
			return err
		}
	}
	notes := ui.NewNotes()
	for i := range c.Mailboxes {
		noteBalance(notes, c.Account, &c.Mailboxes[i])
	}
	notes.NoteAll(c.Notes)
	notes.Line("asked the server at %s, for %v", ui.LocalTime(c.Started), ui.Elapsed(c.Elapsed))
	_, err := notes.WriteTo(w)
	return err
}

// checkVerdict is the outcome of a check in one line.
func checkVerdict(c *check.Report) string {
	switch {
	case c.Error != "":
		return ui.Verdict("FAILED", c.Error)
	case !c.OK():
		return "DOES NOT BALANCE"
	case c.Sum.Arrived > 0:
		return ui.Verdict("BALANCES as of the last run", "", english.Plural(c.Sum.Arrived, "message", "")+" arrived since")
	}
	return ui.Verdict("BALANCES", "", "all that the server has is archived or accounted for")
}

// printBalances prints a table: what must add up, and what changed if anything did.
func printBalances(w io.Writer, c *check.Report) error {
	type row = *check.Balance
	table := &ui.Table[row]{
		Numbers: []ui.Number[row]{
			{Title: "server", Of: func(b row) int64 { return int64(b.Server) }},
			{Title: "archived", Of: func(b row) int64 { return int64(b.Archived) }},
			{Title: "failed", Of: func(b row) int64 { return int64(b.Failed) }},
			{Title: "excluded", Of: func(b row) int64 { return int64(b.Excluded) }},
			{Title: "missing", Of: func(b row) int64 { return int64(b.Missing) }},
			{Title: "arrived", Of: func(b row) int64 { return int64(b.Arrived) }, HideZero: true},
			{Title: "returned", Of: func(b row) int64 { return int64(b.Returned) }, HideZero: true},
			{Title: "vanished", Of: func(b row) int64 { return int64(b.Vanished) }, HideZero: true},
		},
		Texts: []ui.Text[row]{{Title: "mailbox", Of: func(b row) string { return safetext.Line(b.Mailbox) + balanceRemark(b) }}},
	}
	rows := make([]row, len(c.Mailboxes))
	for i := range c.Mailboxes {
		rows[i] = &c.Mailboxes[i]
	}
	sum := &check.Balance{Counts: c.Sum}
	return table.Print(w, rows, &sum)
}

// balanceRemark says behind a mailbox's name what its numbers don't.
func balanceRemark(b *check.Balance) string {
	switch {
	case b.Skipped != "":
		return "  (not selectable)"
	case b.Error != "":
		return "  (!)"
	case b.Gone:
		return "  (no longer on the server; kept)"
	case b.Rule != "":
		return excludedRemark(b.Excluded, b.Server, b.Rule)
	case b.New:
		return "  (new: not in the archive yet)"
	}
	return ""
}

// noteBalance notes, by UID, what of a mailbox does not balance, and what changed.
func noteBalance(n *ui.Notes, account string, b *check.Balance) {
	if b.Error != "" {
		n.Mailbox(b.Mailbox, "%s", b.Error)
	}
	if b.Missing > 0 && b.UIDValidity != 0 {
		n.Mailbox(b.Mailbox, "MISSING in the archive: %s%s; `archiverd sync %s` fetches them", countWithUIDs(b.UIDs.Missing), maybeNew(b), account)
	}
	for _, u := range slices.Sorted(maps.Keys(b.Failures)) {
		n.Line("mailbox %s, UID %d: FAILED, and is tried again each run: %s", b.Mailbox, u, b.Failures[u])
	}
	if more := b.Failed - len(b.Failures); more > 0 {
		n.Mailbox(b.Mailbox, "FAILED, too: %d more; --json has all their UIDs", more)
	}
	for _, change := range []struct {
		set  uid.Set
		text string
	}{
		{b.UIDs.Arrived, "arrived since the last run; the next one archives them"},
		{b.UIDs.Returned, "archived, recorded as gone, and on the server again; the next run records that"},
		{b.UIDs.Vanished, "vanished from the server since the last run; they stay in the archive"},
	} {
		if !change.set.Empty() {
			n.Note("mailbox %s: %s: %s", b.Mailbox, countWithUIDs(change.set), change.text)
		}
	}
}

// maybeNew returns a remark on missing messages that may have arrived after the last run;
// "" if there are none.
func maybeNew(b *check.Balance) string {
	const unknown = "above all that are archived; whether they arrived since the last run is not known"
	switch {
	case b.MaybeNew == 0:
		return ""
	case b.MaybeNew == b.Missing:
		return " (" + unknown + ")"
	}
	return fmt.Sprintf(" (%d %s)", b.MaybeNew, unknown)
}

// maxUIDOctets is how many octets of a UID set are printed.
const maxUIDOctets = 200

// countWithUIDs is "3 messages, UIDs 5,9:10".
func countWithUIDs(set uid.Set) string {
	text := set.String()
	if len(text) > maxUIDOctets {
		text = text[:strings.LastIndexByte(text[:maxUIDOctets], ',')] + ",… (--json has all)"
	}
	return fmt.Sprintf("%s, %s %s", english.Plural(set.Len(), "message", ""), english.PluralWord(set.Len(), "UID", ""), text)
}
