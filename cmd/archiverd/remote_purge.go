package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
	"archiverd/sync/remote"
)

// purgeFlags are the flags of remote purge, as typed.
type purgeFlags struct {
	olderThan string
	flagged   bool
	delete    bool
	yes       bool
}

func (a *app) remotePurgeCommand() *cobra.Command {
	var f purgeFlags
	cmd := &cobra.Command{
		Use:   "purge ACCOUNT [MAILBOX…] --older-than AGE",
		Short: "Delete old messages on the server that are proven to be in the archive",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.olderThan == "" {
				return usage(errors.New("--older-than AGE is missing: say how old messages must be to be deleted, such as 90d, 12w or 2y"))
			}
			age, err := parseAge(f.olderThan)
			if err != nil {
				return usage(fmt.Errorf("--older-than: %w", err))
			}
			if err := a.checkConfirm(f.yes || !f.delete); err != nil {
				return err
			}
			return a.withServerToDelete(cmd.Context(), args[0], func(r *remote.Client) error {
				return a.remotePurge(cmd.Context(), r, args[1:], remote.Purge{OlderThan: age, Flagged: f.flagged}, f)
			})
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.olderThan, "older-than", "", "`AGE` of the messages to delete, such as 90d, 12w or 2y")
	cmd.Flags().BoolVar(&f.flagged, "flagged", false, `delete messages flagged \Flagged, too`)
	cmd.Flags().BoolVar(&f.delete, "delete", false, "delete; without it only print what would be deleted")
	yesFlag(cmd, &f.yes)
	return cmd
}

// remotePurge plans, and with --delete asks and deletes.
func (a *app) remotePurge(ctx context.Context, r *remote.Client, mailboxes []string, o remote.Purge, f purgeFlags) error {
	plan, err := r.PlanPurge(ctx, mailboxes, o)
	if err != nil {
		return err
	}
	server := r.Account.Wire.Address
	if !a.json {
		if err := printPurgePlan(a.out, plan); err != nil {
			return err
		}
	}
	toDelete, from := summarizePurge(plan)
	switch {
	case !f.delete && !a.json:
		fmt.Fprintf(a.out, "%s would be deleted from %s; --delete does it\n", toDelete, server)
	case f.delete && len(from) > 0:
		if err := a.confirmDeletion(f.yes, "Delete %s of %s from %s? They are in the archive %s.", toDelete, strings.Join(from, ", "), server, r.Archive.Path()); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second signal ends the program at once
		err = r.Purge(ctx, plan)
	}
	switch {
	case a.json:
		err = errors.Join(err, safetext.WriteJSON(a.out, plan))
	case f.delete:
		err = errors.Join(err, printPurged(a.out, plan, server))
	}
	return reported(err, !slices.ContainsFunc(plan, func(p *remote.PurgedMailbox) bool { return !p.OK() }))
}

// summarizePurge returns the messages to delete, as "3 messages (1.2 MiB)", and their
// mailboxes.
func summarizePurge(plan []*remote.PurgedMailbox) (toDelete string, mailboxes []string) {
	messages, octets := 0, int64(0)
	for _, p := range plan {
		if p.Chosen > 0 {
			mailboxes = append(mailboxes, fmt.Sprintf("%q", p.Mailbox))
		}
		messages += p.Chosen
		octets += p.Octets
	}
	return fmt.Sprintf("%s (%s)", english.Plural(messages, "message", ""), ui.Octets(octets)), mailboxes
}
