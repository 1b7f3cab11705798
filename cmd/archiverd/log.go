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

// logFlags are the flags of log.
type logFlags struct {
	since, until string
	short        bool
}

func (a *app) logCommand() *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "log [ACCOUNT [MAILBOX]]",
		Short: "List what changed between two times",
		Args:  cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			since, until, err := f.times()
			if err != nil {
				return err
			}
			r, _, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			return a.log(r, args, since, until, f.short)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.since, "since", "", "only what was seen at `TIME` or later")
	cmd.Flags().StringVar(&f.until, "until", "", "only what was seen until `TIME`")
	cmd.Flags().BoolVar(&f.short, "short", false, "only the number of changes of each kind, by time and mailbox")
	cmd.MarkFlagsMutuallyExclusive("short", "json")
	return cmd
}

// times reads --since and --until. Zero times are not given.
func (f *logFlags) times() (since, until time.Time, err error) {
	if since, err = parseTime("--since", f.since); err != nil {
		return since, until, err
	}
	if until, err = parseEnd("--until", f.until); err != nil {
		return since, until, err
	}
	if !until.IsZero() && since.After(until) {
		err = usage(fmt.Errorf("--since %s is later than --until %s", f.since, f.until))
	}
	return since, until, err
}

// log lists what happened in the accounts, or in the mailbox, that args name. An
// unreadable journal does not stop it; it returns the errors of all of them.
func (a *app) log(r *archive.Archive, args []string, since, until time.Time, short bool) error {
	accounts, err := archivedAccounts(r, args[:min(1, len(args))])
	if err != nil {
		return err
	}
	var only archive.MailboxDir
	if len(args) == 2 {
		if only, _, err = findMailbox(r, args[0], args[1], time.Time{}); only == (archive.MailboxDir{}) {
			return err
		}
	}
	var faults error
	list, printed := []loggedChange{}, 0
	p := &logPrinter{archive: r, out: a.out, short: short, severalAccounts: len(accounts) > 1, only: only}
	for _, account := range accounts {
		changes, err := history.Log(r, account, since, until)
		faults = errors.Join(faults, err)
		if only != (archive.MailboxDir{}) {
			changes = slices.DeleteFunc(changes, func(c *history.Change) bool {
				return c.Mailbox != only && (c.From == nil || c.From.Mailbox != only)
			})
		}
		printed += len(changes)
		if !a.json {
			if err := p.print(changes); err != nil {
				return errors.Join(err, faults)
			}
			continue
		}
		for _, c := range changes {
			list = append(list, newLoggedChange(r, c))
		}
	}
	if a.json {
		return errors.Join(safetext.WriteJSON(a.out, list), faults)
	}
	if printed == 0 {
		fmt.Fprintln(a.out, "(nothing)")
	}
	return faults
}

// loggedChange is a change as log prints it with --json.
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

// newLoggedChange returns a change, with sender and subject from the message's file.
func newLoggedChange(r *archive.Archive, c *history.Change) loggedChange {
	l := loggedChange{At: c.At, Kind: string(c.Kind), Account: c.Mailbox.Account, Mailbox: c.Name.Mailbox, Dir: c.Mailbox.Dir, UIDValidity: c.UIDValidity,
		OldUIDValidity: c.OldUIDValidity, UID: c.UID, Flags: c.Flags, Came: c.FlagsAdded, Went: c.FlagsRemoved, Reason: c.Reason}
	switch c.Kind {
	case history.MailboxVanished, history.MailboxRenamed, history.MailboxRenumbered:
		l.Count = &c.Count
	}
	if m := c.Message; m != nil {
		l.ID, l.SHA256 = c.Mailbox.ID(m), m.Sum.String()
		l.From, l.Subject = senderAndSubject(r, l.ID)
	}
	if f := c.From; f != nil {
		l.Source = &loggedPlace{Mailbox: f.Name.Mailbox, Dir: f.Mailbox.Dir}
		if m := f.Message; m != nil {
			l.Source.UIDValidity, l.Source.UID, l.Source.ID = m.UIDValidity, m.UID, f.Mailbox.ID(m)
		}
	}
	return l
}
