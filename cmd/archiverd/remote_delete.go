package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/sync/remote"
)

// errNothingDeleted is returned when a person does not confirm.
var errNothingDeleted = errors.New("not confirmed; nothing was deleted")

// confirmDeletion returns nil if yes is set or a person confirms.
func (a *app) confirmDeletion(yes bool, question string, args ...any) error {
	if yes {
		return nil
	}
	confirmed, err := a.confirm(fmt.Sprintf(question, args...))
	if err == nil && !confirmed {
		err = errNothingDeleted
	}
	return err
}

func (a *app) remoteDeleteCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ACCOUNT MAILBOX",
		Short: "Delete a mailbox on the server that is empty or completely in the archive",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.checkConfirm(yes); err != nil {
				return err
			}
			return a.withServerToDelete(cmd.Context(), args[0], func(r *remote.Client) error {
				return a.remoteDelete(cmd.Context(), r, args[1], yes)
			})
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}

func (a *app) remoteDelete(ctx context.Context, r *remote.Client, mailbox string, yes bool) error {
	server := r.Account.Wire.Address
	messages := ""
	err := r.Delete(ctx, mailbox, func(n int) error {
		messages = english.Plural(n, "message", "")
		if n == 0 {
			return a.confirmDeletion(yes, "Delete mailbox %q, which is empty, from %s?", mailbox, server)
		}
		return a.confirmDeletion(yes, "Delete mailbox %q with %s from %s? All are in the archive %s.", mailbox, messages, server, r.Archive.Path())
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "mailbox %q with %s was deleted from %s\n", mailbox, messages, server)
	return err
}
