package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/semaphore"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/session"
	"archiverd/internal/setup"
	"archiverd/sync/drill"
)

func (a *app) drillCommand() *cobra.Command {
	var sample, to, into string
	cmd := &cobra.Command{
		Use:   "drill [ACCOUNT…]",
		Short: "Rehearse a restore, and compare what comes back octet by octet",
		Long: `Restores a sample of each account's messages, or of those named, as restore does it,
into an IMAP server that lives in this process; reads them back over IMAP; and compares
octets, flags and keywords, INTERNALDATE and mailbox of each with the archive. The
sample is another each time, and of as many mailboxes as it allows. Each difference is
named by the message's ID. The result is kept, and status shows it.

With --to it goes to a real account, below one mailbox that must not be there yet and
that is removed afterwards, also after an error or Ctrl-C. Choose one that is not
archived: a sync meanwhile would archive the copies. Line ends and time zones that such
a server changes are named, and are no failure.

The archive is only read: it works beside the daemon, on a copy, on another machine.
The daemon does it by itself on the schedule of drill.schedule in the configuration.

The exit status is 1 if anything did not come back as it is in the archive.
` + exitHelp,
		Example: `  archiverd drill
  archiverd drill work --sample all
  archiverd drill --archive /mnt/copy --sample 5%
  archiverd drill work --to scratch`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.drill(cmd.Context(), sample, to, into, names)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&sample, "sample", "", "messages of each account, `N`, N% or all (default drill.sample of the configuration)")
	cmd.Flags().StringVar(&to, "to", "", "restore into `ACCOUNT` of the configuration instead")
	cmd.Flags().StringVar(&into, "into", "", "with --to, below mailbox `PREFIX` (default archiverd-drill-DATE)")
	return cmd
}

func (a *app) drill(ctx context.Context, sample, to, into string, names []string) (err error) {
	if into != "" && to == "" {
		return usage(errors.New("--into says where in the account of --to: name that too"))
	}
	if to != "" && a.archiveDir != "" {
		return usage(errors.New("--to takes an account of the configuration, and --archive does without one: leave out one of them"))
	}
	r, cfg, err := a.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	statePath := filepath.Join(a.archiveDir, "state.db")
	if cfg != nil {
		statePath = cfg.State.Path
	} else {
		cfg = config.Defaults()
	}
	take := cfg.Drill.Sample
	if sample != "" {
		if take, err = config.ParseSample(sample); err != nil {
			return usage(fmt.Errorf("--sample: %w", err))
		}
	}
	if names, err = drillNames(r, cfg, names); err != nil {
		return err
	}
	show := a.newProgress()
	log := a.logger(cfg)
	var scratch *session.Account
	if to != "" {
		chosen, err := choose(cfg, []string{to})
		if err != nil {
			return err
		}
		acc, err := setup.Account(cfg, chosen[0], setup.SharedLimiter(cfg))
		if err != nil {
			return usage(err)
		}
		scratch = &acc
		into = cmp.Or(into, "archiverd-drill-"+time.Now().Format(time.DateOnly))
	}
	setup.Umask(cfg.Archive.Group)
	slots := semaphore.NewWeighted(int64(cfg.Limits.Connections))
	ctx, stop := interruptible(ctx, a.err, "what the drill has made is being removed")
	defer stop()
	results := []drill.Result{}
	for _, name := range names {
		d, err := drill.New(r, name)
		if err != nil {
			return err
		}
		d.Sample, d.Named, d.Log = take.Of, take.String(), log
		if scratch != nil {
			d.Scratch, d.To, d.Into, d.Slots = nil, scratch, into, slots
		}
		show.start(d)
		result, err := d.Run(ctx) // the error stands in the result
		show.stop()
		results = append(results, result)
		if errors.Is(err, drill.ErrInterrupted) {
			break
		}
		if err := drill.Save(statePath, result); err != nil {
			fmt.Fprintln(a.err, "archiverd: warning: "+safetext.Text(err.Error())+"; status will not show this drill")
		}
	}
	return a.printDrills(results)
}

// printDrills prints results, and is the exit status that they make.
func (a *app) printDrills(results []drill.Result) (err error) {
	if a.json {
		err = safetext.WriteJSON(a.out, results)
	} else {
		err = printDrills(a.out, results)
	}
	if err == nil && slices.ContainsFunc(results, func(d drill.Result) bool { return !d.OK() }) {
		err = &exit{status: exitFailed}
	}
	return err
}

// drillNames are the accounts to drill: those named, else all of the
// configuration, and of the archive.
func drillNames(r *archive.Archive, cfg *config.Config, names []string) ([]string, error) {
	dirs, err := r.Accounts()
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !slices.Contains(dirs, archive.Escape(n)) {
			return nil, usage(fmt.Errorf("no account %q in the archive; it has %q", n, dirs))
		}
	}
	if len(names) > 0 {
		return names, nil
	}
	for i := range cfg.Accounts {
		name := cfg.Accounts[i].Name
		names = append(names, name)
		dirs = slices.DeleteFunc(dirs, func(d string) bool { return d == archive.Escape(name) })
	}
	return append(names, dirs...), nil
}
