package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize/english"
	"golang.org/x/sync/errgroup"

	"archiverd/archive"
	"archiverd/internal/daemon"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/internal/uid"
	"archiverd/state"
	"archiverd/sync/check"
)

// checkReport is what status --check prints as JSON.
type checkReport struct {
	Archive  string         `json:"archive"`
	ID       string         `json:"id"`
	Notes    []string       `json:"notes,omitempty"`
	Accounts []check.Report `json:"accounts"`
}

// check asks the servers of the accounts again, and compares with the archive.
func (a *app) check(ctx context.Context, names []string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	chosen, err := choose(cfg, names)
	if err != nil {
		return err
	}
	dir, statePath := cfg.Archive.Path, cfg.State.Path
	if a.archiveDir != "" {
		dir, statePath = a.archiveDir, filepath.Join(a.archiveDir, "state.db")
	}
	r, err := archive.Open(dir)
	if err != nil && a.archiveDir != "" {
		err = usage(err)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	report := checkReport{Archive: dir, ID: r.ID(), Accounts: make([]check.Report, len(chosen))}
	last, notes, err := a.lastRuns(ctx, cfg.Control.Socket, statePath)
	if err != nil {
		return err
	}
	report.Notes = notes
	var group errgroup.Group
	group.SetLimit(cfg.Limits.Connections)
	log, limit := a.logger(cfg), setup.SharedLimiter(cfg)
	for i, acc := range chosen {
		account, err := setup.Account(cfg, acc, limit)
		if err != nil {
			return errors.Join(usage(err), group.Wait())
		}
		k := &check.Job{Account: account, Policy: setup.Policy(cfg, acc), Archive: r, Last: last[acc.Name], Log: log}
		group.Go(func() error {
			report.Accounts[i] = k.Run(ctx) // what goes wrong stands in it
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if a.json {
		err = safetext.WriteJSON(a.out, report)
	} else {
		err = report.print(a.out)
	}
	failed := slices.ContainsFunc(report.Accounts, func(c check.Report) bool { return !c.OK() })
	if err == nil && failed {
		err = &exit{status: exitFailed}
	}
	return err
}

// lastRuns are the last runs of the accounts, as the daemon tells them or else
// the state database; notes say what is not known and why.
func (a *app) lastRuns(ctx context.Context, socket, statePath string) (last map[string]*state.Run, notes []string, err error) {
	last = map[string]*state.Run{}
	if a.archiveDir == "" {
		report, err := daemon.Ask(ctx, socket)
		if err != nil && !errors.Is(err, daemon.ErrNotRunning) {
			return nil, nil, err
		}
		if err == nil {
			for _, acc := range report.Accounts {
				last[acc.Account] = acc.Last
				if acc.Running != nil {
					notes = append(notes, fmt.Sprintf("a run of account %s is under way; what it has not come to yet may be missing", acc.Account))
				}
			}
			return last, notes, nil
		}
	}
	runs, _, err := daemon.ReadRuns(statePath)
	for name, list := range runs {
		if len(list) > 0 {
			last[name] = &list[0]
		}
	}
	if err != nil {
		notes = append(notes, daemon.StateUnreadable(err)+", so nothing tells what has come since the last run")
	}
	return last, notes, nil
}

func (r *checkReport) print(w io.Writer) error {
	fmt.Fprintf(w, "archive %s\n", safetext.Line(r.Archive))
	for _, n := range r.Notes {
		fmt.Fprintln(w, "note: "+safetext.Line(n))
	}
	for i := range r.Accounts {
		fmt.Fprintln(w)
		if err := printCheck(w, &r.Accounts[i]); err != nil {
			return err
		}
	}
	return nil
}

func printCheck(w io.Writer, c *check.Report) error {
	verdict := "BALANCES: all that the server has is archived or accounted for"
	switch {
	case c.Error != "":
		verdict = "FAILED: " + c.Error
	case !c.OK():
		verdict = "DOES NOT BALANCE"
	case c.Sum.Arrived > 0:
		verdict = fmt.Sprintf("BALANCES as of the last run; %s came since", english.Plural(c.Sum.Arrived, "message", ""))
	}
	fmt.Fprintf(w, "%s: %s\n", safetext.Line(c.Account), safetext.Line(verdict))
	if len(c.Mailboxes) > 0 {
		if err := printBalances(w, c); err != nil {
			return err
		}
	}
	var b strings.Builder
	for i := range c.Mailboxes {
		tellBalance(&b, c.Account, &c.Mailboxes[i])
	}
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "  note: %s\n", safetext.Line(n))
	}
	fmt.Fprintf(&b, "  asked the server at %s, for %v\n", c.Started.Local().Format(time.DateTime), c.Elapsed.Round(10*time.Millisecond))
	_, err := io.WriteString(w, b.String())
	return err
}

// printBalances is the table: what must add up, and the rest where there is any.
func printBalances(w io.Writer, c *check.Report) error {
	show := []struct {
		title string
		of    func(check.Counts) int
	}{
		{"server", func(n check.Counts) int { return n.Server }},
		{"archived", func(n check.Counts) int { return n.Archived }},
		{"failed", func(n check.Counts) int { return n.Failed }},
		{"excluded", func(n check.Counts) int { return n.Excluded }},
		{"missing", func(n check.Counts) int { return n.Missing }},
		{"arrived", func(n check.Counts) int { return n.Arrived }},
		{"returned", func(n check.Counts) int { return n.Returned }},
		{"vanished", func(n check.Counts) int { return n.Vanished }},
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cell func(i int) string, name string) {
		for i := range show {
			if i < 5 || show[i].of(c.Sum) > 0 {
				fmt.Fprint(t, cell(i), "\t")
			}
		}
		fmt.Fprintf(t, "\t%s\n", name)
	}
	numbers := func(n check.Counts, name string) {
		row(func(i int) string { return strconv.Itoa(show[i].of(n)) }, name)
	}
	row(func(i int) string { return show[i].title }, "mailbox")
	for i := range c.Mailboxes {
		b := &c.Mailboxes[i]
		numbers(b.Counts, safetext.Line(b.Mailbox)+remarkOn(b))
	}
	numbers(c.Sum, "in all")
	return t.Flush()
}

// remarkOn says behind a mailbox's name what its numbers don't.
func remarkOn(b *check.Balance) string {
	switch {
	case b.Skipped != "":
		return "  (not selectable)"
	case b.Error != "":
		return "  (!)"
	case b.Gone:
		return "  (no longer on the server; kept)"
	case b.Rule != "" && b.Excluded < b.Server:
		return fmt.Sprintf("  (%d excluded: %s)", b.Excluded, safetext.Line(b.Rule))
	case b.Rule != "":
		return "  (excluded: " + safetext.Line(b.Rule) + ")"
	case b.New:
		return "  (new: not in the archive yet)"
	}
	return ""
}

// tellBalance names, by UID, what does not add up, and what changed.
func tellBalance(b *strings.Builder, account string, m *check.Balance) {
	name := safetext.Line(m.Mailbox)
	if m.Error != "" {
		fmt.Fprintf(b, "  mailbox %s: %s\n", name, safetext.Line(m.Error))
	}
	if m.Missing > 0 && m.UIDValidity != 0 {
		fmt.Fprintf(b, "  mailbox %s: MISSING in the archive: %s%s; `archiverd sync %s` fetches them\n", name, those(m.UIDs.Missing), perhapsNew(m), safetext.Line(account))
	}
	for _, u := range slices.Sorted(maps.Keys(m.Failures)) {
		fmt.Fprintf(b, "  mailbox %s, UID %d: FAILED, and is tried again each run: %s\n", name, u, safetext.Line(m.Failures[u]))
	}
	if more := m.Failed - len(m.Failures); more > 0 {
		fmt.Fprintf(b, "  mailbox %s: FAILED, too: %d more; --json has all their UIDs\n", name, more)
	}
	for _, n := range []struct {
		set  uid.Set
		what string
	}{
		{m.UIDs.Arrived, "came since the last run, and the next one archives them"},
		{m.UIDs.Returned, "archived, recorded as gone, and there again; the next run records that"},
		{m.UIDs.Vanished, "vanished from the server since the last run; they stay in the archive"},
	} {
		if !n.set.Empty() {
			fmt.Fprintf(b, "  note: mailbox %s: %s: %s\n", name, those(n.set), n.what)
		}
	}
}

// perhapsNew says of missing messages that they may be new, where nothing tells.
func perhapsNew(m *check.Balance) string {
	switch {
	case m.MaybeNew == 0:
		return ""
	case m.MaybeNew == m.Missing:
		return " (above all that is archived; whether they came since the last run is not known)"
	}
	return fmt.Sprintf(" (%d above all that is archived; whether they came since the last run is not known)", m.MaybeNew)
}

// uidsShown is how many octets of a UID set a person is shown.
const uidsShown = 200

// those is "3 messages, UIDs 5,9:10".
func those(set uid.Set) string {
	text := set.String()
	if len(text) > uidsShown {
		text = text[:strings.LastIndexByte(text[:uidsShown], ',')] + ",… (--json has all)"
	}
	return fmt.Sprintf("%s, %s %s", english.Plural(set.Len(), "message", ""), english.PluralWord(set.Len(), "UID", ""), text)
}

// selectReported removes the accounts that are not named from the report. Without names
// it removes none.
func selectReported(s *daemon.Report, names []string) error {
	for _, n := range names {
		if !slices.ContainsFunc(s.Accounts, func(acc daemon.AccountStatus) bool { return acc.Account == n }) {
			return usage(fmt.Errorf("no account %q in the configuration or the archive", n))
		}
	}
	if len(names) > 0 {
		s.Accounts = slices.DeleteFunc(s.Accounts, func(acc daemon.AccountStatus) bool { return !slices.Contains(names, acc.Account) })
	}
	return nil
}
