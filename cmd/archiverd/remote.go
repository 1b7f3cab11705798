package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/setup"
	"archiverd/sync/remote"
)

func (a *app) remoteCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remote",
		Short: "List, search and change what is on an account's server",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.remoteListCommand(), a.remoteSearchCommand(), a.remoteShowCommand(), a.remoteCreateCommand(), a.remoteRenameCommand(),
		a.remoteDeleteCommand(), a.remotePurgeCommand())
	return cmd
}

// withServer calls do with a connection to the server of an account of the configuration,
// and closes it.
func (a *app) withServer(ctx context.Context, account string, do func(*remote.Client) error) error {
	return a.withServerAndArchive(ctx, account, nil, do)
}

// withServerToDelete is withServer for commands that delete: the archive, which holds the
// proofs, is open too.
func (a *app) withServerToDelete(ctx context.Context, account string, do func(*remote.Client) error) error {
	return a.withServerAndArchive(ctx, account, archive.Open, do)
}

func (a *app) withServerAndArchive(ctx context.Context, name string, openArchive func(string) (*archive.Archive, error), do func(*remote.Client) error) (err error) {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	configured, err := configuredAccount(cfg, name)
	if err != nil {
		return err
	}
	account, err := setup.Account(cfg, configured, setup.SharedLimiter(cfg))
	if err != nil {
		return usage(err)
	}
	r := &remote.Client{Account: account, Policy: setup.Policy(cfg, configured)}
	if openArchive != nil {
		if r.Archive, err = openArchive(cfg.Archive.Path); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, r.Archive.Close()) }()
	}
	if err := r.Connect(ctx); err != nil {
		return fmt.Errorf("account %s: %w", account.Name, err)
	}
	err = do(r)
	for _, text := range r.Alerts() {
		fmt.Fprintf(a.err, "the server says: %s\n", text)
	}
	if err == nil {
		return r.Close(ctx)
	}
	_ = r.Close(ctx) // err explains more than an error of the logout
	if e := (*exitError)(nil); errors.As(err, &e) {
		return err
	}
	err = fmt.Errorf("account %s: %w", account.Name, err)
	if errors.Is(err, remote.ErrNoMailbox) || errors.Is(err, remote.ErrNoMessage) {
		return usage(err)
	}
	return err
}

func (a *app) remoteCreateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "create ACCOUNT MAILBOX",
		Short: "Create a mailbox on the server, and subscribe to it",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServer(cmd.Context(), args[0], func(r *remote.Client) error {
				if err := r.Create(cmd.Context(), args[1]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "mailbox %q was created on %s\n", args[1], r.Account.Wire.Address)
				return err
			})
		},
	}
}

func (a *app) remoteRenameCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rename ACCOUNT OLD NEW",
		Short: "Rename a mailbox on the server",
		Args:  cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withServer(cmd.Context(), args[0], func(r *remote.Client) error {
				if err := r.Rename(cmd.Context(), args[1], args[2]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.out, "mailbox %q was renamed to %q on %s\n", args[1], args[2], r.Account.Wire.Address)
				return err
			})
		},
	}
}
