package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/semaphore"

	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/internal/ui"
	"archiverd/sync/restore"
)

// restoreFlags are the flags of restore, as typed.
type restoreFlags struct {
	selectFlags
	to, from    string
	query       string
	into        string
	maps        []string
	flagsOnly   bool
	matchFields bool
	dryRun      bool
	yes         bool
	overQuota   bool
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --to ACCOUNT [ID|FILE|FOLDER…]",
		Short: "Restore messages to an IMAP server",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			return a.restore(cmd.Context(), cfg, f, args)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.to, "to", "", "`ACCOUNT` of the configuration to restore to")
	flags.StringVar(&f.from, "from", "", "`ACCOUNT` of the archive (default: that of the same name as --to, or the only one)")
	f.add(cmd)
	flags.Lookup("mailbox").Usage += "; with files: where they go"
	flags.StringVar(&f.query, "query", "", "only what `QUERY` finds, as search does")
	flags.StringVar(&f.into, "into", "", "put all mailboxes below `PREFIX`")
	flags.StringArrayVar(&f.maps, "map", nil, "`OLD=NEW`: put mailbox OLD and those below it at NEW; may be repeated")
	flags.BoolVar(&f.flagsOnly, "flags-only", false, "set the flags of messages that are on the server, and append nothing")
	flags.BoolVar(&f.matchFields, "match-fields", false, "treat a message as present also if the server has changed its octets, but Message-ID, Date, From and Subject are equal")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	yesFlag(cmd, &f.yes)
	flags.BoolVar(&f.overQuota, "over-quota", false, "start even if the messages exceed the quota of the server")
	_ = cmd.MarkFlagRequired("to") // the flag exists
	return cmd
}

// restore plans, asks and runs. The plan is made from what the server has now.
func (a *app) restore(ctx context.Context, cfg *config.Config, f restoreFlags, args []string) (err error) {
	to, err := configuredAccount(cfg, f.to)
	if err != nil {
		return err
	}
	maps, err := parseMappings(f.maps)
	if err != nil {
		return err
	}
	account, err := setup.Account(cfg, to, setup.SharedLimiter(cfg))
	if err != nil {
		return usage(err)
	}
	source, err := a.findRestoreSource(ctx, cfg, f, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	display := a.newProgress()
	job := &restore.Job{Account: account, Sources: source.mailboxes, Open: source.open, Into: f.into, Map: append(maps, source.maps...), FlagsOnly: f.flagsOnly,
		MatchFields: f.matchFields, Slots: semaphore.NewWeighted(int64(cfg.Limits.Connections)), Log: a.logger(cfg)}
	display.Start(job)
	plan, err := job.Plan(ctx)
	display.Stop()
	if err != nil {
		return fmt.Errorf("account %s: read what %s has: %w", account.Name, accountAtServer(to), err)
	}
	plan.Username = to.Username
	if confirmed, err := a.confirmPlan(f, plan, source.name, to); err != nil || !confirmed {
		return err
	}
	ctx, stop := interruptible(ctx, a.err, "the server is being asked which of the messages arrived")
	defer stop()
	display.Start(job)
	result, err := job.Run(ctx)
	display.Stop()
	if result == nil {
		return fmt.Errorf("account %s: %w", account.Name, err)
	}
	err = a.print(result, func(w io.Writer) error { return printRestored(w, result, f.flagsOnly) })
	return reported(err, result.OK())
}

// confirmPlan prints the plan and returns whether it is to be carried out. With --json it
// prints the plan only for a dry run, as the result is printed later.
func (a *app) confirmPlan(f restoreFlags, plan *restore.Plan, source string, to *config.Account) (confirmed bool, err error) {
	switch {
	case !a.json:
		err = printPlan(a.out, plan, source, accountAtServer(to), f.flagsOnly)
	case f.dryRun:
		err = safetext.WriteJSON(a.out, plan)
	}
	if err != nil {
		return false, err
	}
	if plan.Free >= 0 && plan.Sum.Octets > plan.Free && !f.overQuota {
		return false, fmt.Errorf("account %s: the quota leaves %s, and the messages to append have %s: free space on the server, select fewer messages, or start anyway with --over-quota",
			to.Name, ui.Octets(plan.Free), ui.Octets(plan.Sum.Octets))
	}
	idle := !hasWork(plan, f.flagsOnly)
	if f.dryRun || idle && !a.json {
		return false, reported(nil, isComplete(plan))
	}
	if idle || f.yes {
		return true, nil
	}
	confirmed, err = a.confirm(restoreQuestion(plan, accountAtServer(to), f.flagsOnly))
	if err == nil && !confirmed {
		err = errors.New("not confirmed; nothing was changed")
	}
	return confirmed, err
}

// hasWork reports whether a run would change anything on the server.
func hasWork(plan *restore.Plan, flagsOnly bool) bool {
	if flagsOnly {
		return plan.Sum.Flags > 0
	}
	return plan.Sum.Missing > 0 || slices.ContainsFunc(plan.Mailboxes, func(m restore.PlannedMailbox) bool { return m.Create && m.Error == "" })
}

// isComplete reports whether the plan restores everything that was selected.
func isComplete(plan *restore.Plan) bool {
	return plan.Sum.TooBig == 0 && !slices.ContainsFunc(plan.Mailboxes, func(m restore.PlannedMailbox) bool { return m.Error != "" })
}

// parseMappings reads the values of --map.
func parseMappings(texts []string) ([]restore.Mapping, error) {
	var out []restore.Mapping
	for _, t := range texts {
		from, to, ok := strings.Cut(t, "=")
		if !ok || from == "" || to == "" {
			return nil, usage(fmt.Errorf("--map %q: write OLD=NEW, two mailbox names", t))
		}
		for _, m := range out {
			if m.Old == from {
				return nil, usage(fmt.Errorf("--map %q: mailbox %q is mapped to %q already", t, from, m.New))
			}
		}
		out = append(out, restore.Mapping{Old: from, New: to})
	}
	return out, nil
}

// accountAtServer is the user name and server of an account, for people.
func accountAtServer(acc *config.Account) string { return acc.Username + " on " + acc.Address() }
