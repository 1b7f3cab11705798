package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var connect bool
	check := &cobra.Command{
		Use:   "check",
		Short: "Report all faults of the configuration at once, each with its line",
		RunE:  func(cmd *cobra.Command, _ []string) error { return a.configCheck(cmd.Context(), connect) },
	}
	check.Flags().BoolVar(&connect, "connect", false, "log in to each account and list its mailboxes")
	cmd.AddCommand(check)
	return cmd
}

func (a *app) configCheck(ctx context.Context, connect bool) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	if err := cfg.CheckSecrets(ctx); err != nil {
		return usage(err)
	}
	fmt.Fprintf(a.out, "the configuration is valid: %s, archive %s\n", english.Plural(len(cfg.Accounts), "account", ""), safetext.Line(cfg.Archive.Path))
	for i := range cfg.Accounts {
		fmt.Fprintln(a.out, "  "+describeAccount(&cfg.Accounts[i]))
	}
	if !connect {
		return nil
	}
	ok := true
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		if err := a.connectAccount(ctx, cfg, acc); err != nil {
			ok = false
			fmt.Fprintf(a.out, "%s: FAILED: %s\n", acc.Name, safetext.Line(err.Error()))
		}
	}
	return reported(nil, ok)
}

// describeAccount is an account's settings: its keys, completed by its profile and the
// defaults.
func describeAccount(acc *config.Account) string {
	from := ""
	if acc.Profile != "" {
		from = fmt.Sprintf(" (profile %s: %s)", acc.Profile, acc.LoginHint())
	}
	parts := []string{"tls " + acc.TLS, english.Plural(acc.Connections, "connection", "")}
	if acc.Rate > 0 {
		parts = append(parts, "at most "+humanize.Bytes(uint64(acc.Rate))+"/s")
	}
	if acc.DailyLimit > 0 {
		parts = append(parts, "at most "+humanize.Bytes(uint64(acc.DailyLimit))+" a day")
	}
	parts = append(parts, "schedule "+acc.Schedule)
	if len(acc.Include) > 0 {
		parts = append(parts, "only "+strings.Join(acc.Include, " "))
	}
	if len(acc.Exclude) > 0 {
		parts = append(parts, "without "+strings.Join(acc.Exclude, " "))
	}
	return safetext.Line(fmt.Sprintf("%s: %s at %s, %s%s", acc.Name, acc.Username, acc.Address(), strings.Join(parts, ", "), from))
}

// connectAccount logs in to an account and lists the mailboxes that would be archived.
func (a *app) connectAccount(ctx context.Context, cfg *config.Config, acc *config.Account) (err error) {
	account, err := setup.Account(cfg, acc, setup.SharedLimiter(cfg))
	if err != nil {
		return err
	}
	c, err := account.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	list, err := c.List(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s: logged in to %s, %s\n", acc.Name, acc.Address(), english.Plural(len(list), "mailbox", ""))
	for _, m := range list {
		note := ""
		if m.Status != nil {
			note = english.Plural(int(m.Status.Messages), "message", "")
		}
		if ok, rule := acc.Selects(m.Name, m.Delimiter, m.Attrs); !ok {
			note = "not archived: " + rule
		}
		if m.Err != nil {
			note = "not archived: " + m.Err.Error()
		}
		fmt.Fprintf(a.out, "  %s  %s\n", safetext.Line(m.Name), safetext.Line(note))
	}
	return c.Logout(ctx)
}
