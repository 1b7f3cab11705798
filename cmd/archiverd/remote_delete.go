package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/internal/safetext"
	"archiverd/sync/remote"
)

// errDeclined is the answer of a person who was asked.
var errDeclined = errors.New("not confirmed; nothing was deleted")

// agreed asks a person, unless yes says that they agree.
func (a *app) agreed(yes bool, question string, args ...any) error {
	if yes {
		return nil
	}
	ok, err := a.confirm(fmt.Sprintf(question, args...))
	if err == nil && !ok {
		err = errDeclined
	}
	return err
}

func (a *app) remoteDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ACCOUNT MAILBOX",
		Short: "Delete a mailbox at the server that is empty or wholly in the archive",
		Long: `Deletes a mailbox at the server, if it is empty or if every message in it is
proven to be in the archive: the UIDVALIDITY, the UID, flags and INTERNALDATE at the
server are those in the journal; the header at the server is that of the archived
file, and where header or size leave a doubt, the whole message is fetched and
compared; and the archived file was read whole just now and has its size and SHA-256.

INBOX and a mailbox with others below it are refused. When all is proven the server
is asked again, and what arrived or changed meanwhile refuses, too. One thing IMAP
can't rule out: a message that is delivered between that answer and the command to
delete right behind it, in one round trip, is lost with the mailbox.

Asks before it deletes; --yes answers, and is needed without a terminal.
` + exitHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := a.terminal(); err != nil && !yes {
				return err
			}
			return a.atServer(cmd.Context(), args[0], true, func(r *remote.Client) error {
				messages := ""
				err := r.Delete(cmd.Context(), args[1], func(n int) error {
					messages = english.Plural(n, "message", "")
					if n == 0 {
						return a.agreed(yes, "Delete mailbox %q, which is empty, from %s?", args[1], r.Account.Wire.Address)
					}
					return a.agreed(yes, "Delete mailbox %q with %s from %s? All are in the archive %s.", args[1], messages, r.Account.Wire.Address, r.Archive.Path())
				})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.out, "mailbox %q with %s was deleted from %s\n", args[1], messages, r.Account.Wire.Address)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) remotePurge() *cobra.Command {
	var o remote.Purge
	var older string
	var really, yes bool
	cmd := &cobra.Command{
		Use:   "purge ACCOUNT [MAILBOX…] --older-than AGE",
		Short: "Delete old messages at the server that are proven to be in the archive",
		Long: `Deletes from the server, of the mailboxes named or of all that the account
archives, the messages whose INTERNALDATE is longer ago than AGE, that have been in
the archive for at least as long, and that are proven to be there (as "remote delete
--help" says). All others stay, and what can't be proven is named. Where the archive
of a mailbox is damaged in one file, that mailbox loses nothing. Messages flagged
\Flagged stay, but for --flagged.

Without --delete nothing is deleted: it prints what would be. With it, it asks first;
--yes answers, and is needed without a terminal. Right before a message goes its
flags are looked at again, and if they have changed it stays; a flag that is set in
the one round trip after that goes with it. Only UID EXPUNGE of just these messages
is used; a server without it (UIDPLUS) is refused.

AGE is a number with d (days), w (weeks) or y (365 days), or as 1000h; at least 1d.
The status is 1 if a message that is old enough had to stay.
` + exitHelp,
		Example: `  archiverd remote purge work --older-than 2y
  archiverd remote purge work INBOX Lists --older-than 365d --delete`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.OlderThan, err = age(older); err != nil {
				return usage(fmt.Errorf("--older-than: %w", err))
			}
			if _, err := a.terminal(); err != nil && really && !yes {
				return err
			}
			return a.atServer(cmd.Context(), args[0], true, func(r *remote.Client) error {
				return a.purge(cmd.Context(), r, args[1:], o, really, yes)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&older, "older-than", "", "`AGE` of the messages to delete, such as 90d, 12w or 2y")
	_ = cmd.MarkFlagRequired("older-than") // the flag is there
	cmd.Flags().BoolVar(&o.Flagged, "flagged", false, `delete messages flagged \Flagged, too`)
	cmd.Flags().BoolVar(&really, "delete", false, "delete; without it only say what would be deleted")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) purge(ctx context.Context, r *remote.Client, names []string, o remote.Purge, really, yes bool) error {
	plan, err := r.PlanPurge(ctx, names, o)
	if err != nil {
		return err
	}
	var sum remote.PurgedMailbox
	var boxes []string
	for _, p := range plan {
		if p.Chosen > 0 {
			boxes = append(boxes, fmt.Sprintf("%q", p.Mailbox))
		}
		sum.Chosen += p.Chosen
		sum.Octets += p.Octets
	}
	what := fmt.Sprintf("%s (%s)", english.Plural(sum.Chosen, "message", ""), humanize.IBytes(uint64(sum.Octets)))
	if !a.json {
		if err := a.printPlan(plan); err != nil {
			return err
		}
	}
	switch {
	case !really && !a.json:
		fmt.Fprintf(a.out, "%s would be deleted from %s; --delete does it\n", what, r.Account.Wire.Address)
	case really && sum.Chosen > 0:
		if err := a.agreed(yes, "Delete %s of %s from %s? They are in the archive %s.", what, strings.Join(boxes, ", "), r.Account.Wire.Address, r.Archive.Path()); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second signal ends at once
		err = r.Purge(ctx, plan)
	}
	switch {
	case a.json:
		err = errors.Join(err, safetext.WriteJSON(a.out, plan))
	case really:
		err = errors.Join(err, a.printPurged(plan, r.Account.Wire.Address))
	}
	if err != nil {
		return err
	}
	return purgeStatus(plan)
}

// purgeStatus is the exit status: 1 if anything stays that was to go.
func purgeStatus(plan []*remote.PurgedMailbox) error {
	for _, p := range plan {
		if !p.OK() {
			return &exit{status: exitFailed}
		}
	}
	return nil
}

// printPlan prints which messages would go, how many stay, and why.
func (a *app) printPlan(plan []*remote.PurgedMailbox) error {
	t := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "messages\tto go\toctets\ttoo young\tnew in archive\tflagged\tunproven\t\tmailbox")
	for _, p := range plan {
		fmt.Fprintf(t, "%d\t%d\t%s\t%d\t%d\t%d\t%d\t\t%s\n", p.Messages, p.Chosen, humanize.IBytes(uint64(p.Octets)), p.TooYoung, p.NewInArchive, p.Flagged, len(p.Unproven), safetext.Line(p.Mailbox))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, p := range plan {
		for _, line := range remote.Reasons(p.Unproven) {
			fmt.Fprintf(a.out, "stays: %s\n", safetext.Line(line))
		}
		if p.HeldForDamage > 0 {
			fmt.Fprintf(a.out, "mailbox %q: %s could go and stay, because its archive is damaged\n", p.Mailbox, english.Plural(p.HeldForDamage, "more message", ""))
		}
		if p.Error != "" {
			fmt.Fprintf(a.out, "mailbox %q: %s\n", p.Mailbox, safetext.Line(p.Error))
		}
	}
	return nil
}

// printPurged prints what became of it.
func (a *app) printPurged(plan []*remote.PurgedMailbox, server string) error {
	gone := 0
	for _, p := range plan {
		gone += p.Gone
		if p.Chosen == 0 {
			continue
		}
		fmt.Fprintf(a.out, "mailbox %q: %d deleted", p.Mailbox, p.Gone)
		if p.Changed > 0 {
			fmt.Fprintf(a.out, ", %d changed meanwhile and stay", p.Changed)
		}
		if p.Error != "" {
			fmt.Fprintf(a.out, "; %s", safetext.Line(p.Error))
		}
		fmt.Fprintln(a.out)
	}
	_, err := fmt.Fprintf(a.out, "%s deleted from %s\n", english.Plural(gone, "message", ""), server)
	return err
}
