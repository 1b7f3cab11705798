package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sync/semaphore"

	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/sync/restore"
)

// restoreFlags are the flags of restore as they were typed.
type restoreFlags struct {
	selecting
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
		Short: "Put messages back to an IMAP server",
		Long: `Appends messages of the archive to the mailboxes of an account of the
configuration, with their flags, keywords and INTERNALDATE, octet for octet. First it
looks at what is there: a message that the server has in that mailbox already is not
appended again. So a restore that was broken off is simply begun again. Nothing on
the server is deleted or replaced, and nothing in the archive is written.

Without arguments it restores what the server of --from still had at the last sync,
all of it or as --mailbox, --after and --before narrow it; with --gone what that server
no longer has. Arguments are instead

  ID      a message of the archive, as list prints it, or any part of its path that
          only one message has; also one that is gone
  FILE    an .eml file
  FOLDER  all .eml files in it and in folders below; links are not followed

An argument that is there on disk is taken for a file or folder. Files go to the one
mailbox that --mailbox names; their INTERNALDATE comes from the file's name if the
archive gave it, else from the topmost Received and the Date field, else from the
file's own date.

Mailboxes keep their names, written with the target's delimiter and below its
namespace, and are created where they are missing. --map gives a mailbox and those
below it another name, --into puts all below one mailbox.

--query restores what a search with the same words, and the same flags, would find.

--at restores the mailboxes as they were at a time, with the flags that the messages
had; with --flags-only it puts those flags back on what is there.

` + timesHelp + `
The plan is printed and has to be confirmed on the terminal, or with --yes.
` + exitHelp,
		Example: `  archiverd restore --to work --dry-run
  archiverd restore --to work --mailbox INBOX --mailbox 'Lists/*' --after 2026-11-01
  archiverd restore --to work --gone --into Recovered
  archiverd restore --to work --gone --query 'from:alice has:attachment'
  archiverd restore --to new --from work --map 'Old Stuff=Archive/Old' --yes
  archiverd restore --to work 20261122T183000Z.1700000000.123
  archiverd restore --to work --mailbox Recovered ~/rescued-mail`,
		Args: cobra.ArbitraryArgs,
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
	f.flags(cmd)
	flags.Lookup("mailbox").Usage += "; with files: where they go"
	flags.StringVar(&f.query, "query", "", "only what `QUERY` finds, as search does")
	flags.StringVar(&f.into, "into", "", "put all below mailbox `PREFIX`")
	flags.StringArrayVar(&f.maps, "map", nil, "`OLD=NEW`: put mailbox OLD and those below it at NEW; may be repeated")
	flags.BoolVar(&f.flagsOnly, "flags-only", false, "put flags back on messages that are there, and append nothing")
	flags.BoolVar(&f.matchFields, "match-fields", false, "take a message for there also if the server has changed its octets, but Message-ID, Date, From and Subject are the same")
	flags.BoolVar(&f.dryRun, "dry-run", false, "print the plan and change nothing")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.overQuota, "over-quota", false, "begin although the server's quota will not hold it all")
	_ = cmd.MarkFlagRequired("to") // there is such a flag
	return cmd
}

func (a *app) restore(ctx context.Context, cfg *config.Config, f restoreFlags, args []string) (err error) {
	chosen, err := choose(cfg, []string{f.to})
	if err != nil {
		return err
	}
	maps, err := mappings(f.maps)
	if err != nil {
		return err
	}
	acc, err := setup.Account(cfg, chosen[0], setup.SharedLimiter(cfg))
	if err != nil {
		return usage(err)
	}
	what, err := a.pick(ctx, cfg, f, args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, what.Close()) }()
	show := a.newProgress()
	r := &restore.Job{Account: acc, Sources: what.sources, Open: what.open, Into: f.into, Map: append(maps, what.maps...), FlagsOnly: f.flagsOnly,
		MatchFields: f.matchFields, Slots: semaphore.NewWeighted(int64(cfg.Limits.Connections)), Log: a.logger(cfg)}
	show.start(r)
	plan, err := r.Plan(ctx)
	show.stop()
	if err != nil {
		return fmt.Errorf("account %s: look at what %s has: %w", acc.Name, targetName(chosen[0]), err)
	}
	plan.Username = chosen[0].Username
	if goOn, err := a.agree(f, plan, what, chosen[0]); err != nil || !goOn {
		return err
	}
	ctx, stop := interruptible(ctx, a.err, "what has been sent is being asked after")
	defer stop()
	show.start(r)
	done, err := r.Run(ctx)
	show.stop()
	if done == nil {
		return fmt.Errorf("account %s: %w", acc.Name, err)
	}
	if a.json {
		err = safetext.WriteJSON(a.out, done)
	} else {
		err = printRestored(a.out, done, f.flagsOnly)
	}
	if err == nil && !done.OK() {
		err = &exit{status: exitFailed}
	}
	return err
}

// agree shows the plan, and says whether it is to be carried out.
func (a *app) agree(f restoreFlags, plan *restore.Plan, what *picked, to *config.Account) (goOn bool, err error) {
	switch {
	case !a.json:
		err = printPlan(a.out, plan, what.from, targetName(to), f.flagsOnly)
	case f.dryRun:
		err = safetext.WriteJSON(a.out, plan)
	}
	if err != nil {
		return false, err
	}
	over := plan.Free >= 0 && plan.Sum.Octets > plan.Free
	if over && !f.overQuota {
		return false, fmt.Errorf("account %s: the quota leaves %s, and the messages to append have %s: make room there, select less, or begin all the same with --over-quota",
			to.Name, humanize.IBytes(uint64(plan.Free)), humanize.IBytes(uint64(plan.Sum.Octets)))
	}
	idle := !anythingToDo(plan, f.flagsOnly)
	if f.dryRun || idle && !a.json {
		return false, planStatus(plan)
	}
	if idle || f.yes {
		return true, nil
	}
	yes, err := a.confirm(question(plan, targetName(to), f.flagsOnly))
	if err == nil && !yes {
		err = errors.New("not confirmed; nothing was changed")
	}
	return yes, err
}

// anythingToDo says whether a run would change anything at the server.
func anythingToDo(plan *restore.Plan, flagsOnly bool) bool {
	if flagsOnly {
		return plan.Sum.Flags > 0
	}
	for _, m := range plan.Mailboxes {
		if m.Create && m.Error == "" {
			return true
		}
	}
	return plan.Sum.Missing > 0
}

// planStatus is the exit status of a plan that is not carried out: 1 if not all
// of it could be.
func planStatus(plan *restore.Plan) error {
	failed := plan.Sum.TooBig > 0
	for _, m := range plan.Mailboxes {
		failed = failed || m.Error != ""
	}
	if failed {
		return &exit{status: exitFailed}
	}
	return nil
}

// mappings are those of --map.
func mappings(texts []string) ([]restore.Mapping, error) {
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

// targetName names an account at its server in full.
func targetName(acc *config.Account) string { return acc.Username + " on " + acc.Address() }
