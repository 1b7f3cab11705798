package main

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/safetext"
)

func (a *app) logCommand() *cobra.Command {
	var since, until string
	var short bool
	cmd := &cobra.Command{
		Use:   "log [ACCOUNT [MAILBOX]]",
		Short: "Tell what changed between two times",
		Long: `Tells what happened in the mailboxes of the archive, of an account, or in one, in
order of time: messages that arrived, are gone, were moved, changed their flags or could
not be archived; mailboxes that were created, vanished, came back, were renamed or were
renumbered by the server. The time is when archiverd saw it.

A message that is gone here while the same octets arrived elsewhere in the account was
moved; a mailbox that vanished while most of its messages came in a new one was renamed.

--since and --until are both included; without them it tells everything.

` + timesHelp + `
Reads the archive alone: it works beside the daemon, on a copy, on another machine.
` + exitHelp,
		Example: `  archiverd log home --since yesterday
  archiverd log home INBOX --since 2026-11-01 --until 2026-11-01
  archiverd log --since 1w --short`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			from, err := parseTime("--since", since)
			if err != nil {
				return err
			}
			to, err := parseEnd("--until", until)
			if err != nil {
				return err
			}
			if !to.IsZero() && from.After(to) {
				return usage(fmt.Errorf("nothing happened both since %s and until %s", since, until))
			}
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			return a.log(r, args, from, to, short)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&since, "since", "", "only what was seen at `TIME` or later")
	cmd.Flags().StringVar(&until, "until", "", "only what was seen until `TIME`")
	cmd.Flags().BoolVar(&short, "short", false, "only how much of what, where and when")
	cmd.MarkFlagsMutuallyExclusive("short", "json")
	return cmd
}

// log tells what happened in the accounts, or the mailbox, that args name.
func (a *app) log(r *archive.Archive, args []string, since, until time.Time, short bool) error {
	accounts, err := selectAccounts(r, args)
	if err != nil {
		return err
	}
	var only archive.MailboxDir
	if len(args) == 2 {
		if only, _, err = findBox(r, args[0], args[1], time.Time{}); only == (archive.MailboxDir{}) {
			return err
		}
	}
	var faults error
	list, told := []loggedChange{}, 0
	p := &logPrinter{r: r, out: a.out, short: short, accounts: len(accounts) > 1, only: only}
	for _, account := range accounts {
		changes, err := history.Log(r, account, since, until)
		faults = errors.Join(faults, err)
		if only != (archive.MailboxDir{}) {
			changes = slices.DeleteFunc(changes, func(c *history.Change) bool {
				return c.Mailbox != only && (c.From == nil || c.From.Mailbox != only)
			})
		}
		told += len(changes)
		if !a.json {
			if err := p.print(changes); err != nil {
				return errors.Join(err, faults)
			}
			continue
		}
		for _, c := range changes {
			list = append(list, logged(r, c))
		}
	}
	if a.json {
		return errors.Join(safetext.WriteJSON(a.out, list), faults)
	}
	if told == 0 {
		fmt.Fprintln(a.out, "(nothing)")
	}
	return faults
}

// loggedChange is a change as log prints it for programs.
type loggedChange struct {
	At             time.Time    `json:"at"`
	Kind           string       `json:"kind"`
	Account        string       `json:"account"`
	Mailbox        string       `json:"mailbox"`
	Dir            string       `json:"dir"`
	UIDValidity    uint32       `json:"uidvalidity"`
	OldUIDValidity uint32       `json:"old_uidvalidity,omitempty"`
	UID            uint32       `json:"uid,omitempty"`
	ID             string       `json:"id,omitempty"`
	SHA256         string       `json:"sha256,omitempty"`
	From           string       `json:"from,omitempty"`
	Subject        string       `json:"subject,omitempty"`
	Flags          []string     `json:"flags,omitempty"`
	Came           []string     `json:"flags_came,omitempty"`
	Went           []string     `json:"flags_went,omitempty"`
	Count          *int         `json:"count,omitempty"`
	Reason         string       `json:"reason,omitempty"`
	Source         *loggedPlace `json:"source,omitempty"`
}

// loggedPlace is where a message or mailbox was before.
type loggedPlace struct {
	Mailbox     string `json:"mailbox"`
	Dir         string `json:"dir"`
	UIDValidity uint32 `json:"uidvalidity,omitempty"`
	UID         uint32 `json:"uid,omitempty"`
	ID          string `json:"id,omitempty"`
}

func logged(r *archive.Archive, c *history.Change) loggedChange {
	l := loggedChange{At: c.At, Kind: string(c.Kind), Account: c.Mailbox.Account, Mailbox: c.Name.Mailbox, Dir: c.Mailbox.Dir, UIDValidity: c.UIDValidity,
		OldUIDValidity: c.OldUIDValidity, UID: c.UID, Flags: c.Flags, Came: c.FlagsAdded, Went: c.FlagsRemoved, Reason: c.Reason}
	switch c.Kind {
	case history.MailboxVanished, history.MailboxRenamed, history.MailboxRenumbered:
		l.Count = &c.Count
	}
	if m := c.Message; m != nil {
		l.ID, l.SHA256 = c.Mailbox.ID(m), m.Sum.String()
		l.From, l.Subject = heading(r, l.ID)
	}
	if f := c.From; f != nil {
		l.Source = &loggedPlace{Mailbox: f.Name.Mailbox, Dir: f.Mailbox.Dir}
		if m := f.Message; m != nil {
			l.Source.UIDValidity, l.Source.UID, l.Source.ID = m.UIDValidity, m.UID, f.Mailbox.ID(m)
		}
	}
	return l
}
