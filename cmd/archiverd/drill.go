package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// drillFlags are the flags of drill, as typed.
type drillFlags struct {
	sample   string
	to, into string
}

func (a *app) drillCommand() *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use:   "drill [ACCOUNT…]",
		Short: "Rehearse a restore, and compare what comes back octet by octet",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.drill(cmd.Context(), f, names)
		},
	}
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.sample, "sample", "", "messages of each account, `N`, N% or all (default drill.sample of the configuration)")
	cmd.Flags().StringVar(&f.to, "to", "", "restore to `ACCOUNT` of the configuration instead")
	cmd.Flags().StringVar(&f.into, "into", "", "with --to, below mailbox `PREFIX` (default archiverd-drill-DATE)")
	return cmd
}

func (a *app) drill(ctx context.Context, f drillFlags, names []string) (err error) {
	if f.into != "" && f.to == "" {
		return usage(errors.New("--into names a mailbox of the account of --to: give --to as well"))
	}
	if f.to != "" && a.archiveDir != "" {
		return usage(errors.New("--to needs an account of the configuration, and --archive works without one: leave out one of them"))
	}
	r, cfg, err := a.reader()
	if err != nil {
		return err
	}
	defer r.Close()
	_, statePath := a.archivePaths(cfg)
	if cfg == nil {
		cfg = config.Defaults()
	}
	if names, err = drillNames(r, cfg, names); err != nil {
		return err
	}
	display := a.newProgress()
	jobs, err := a.drillJobs(r, cfg, f, names)
	if err != nil {
		return err
	}
	setup.Umask(cfg.Archive.Group)
	ctx, stop := interruptible(ctx, a.err, "the copies that the drill made are being removed")
	defer stop()
	results := []drill.Result{}
	for _, job := range jobs {
		display.Start(job)
		result, err := job.Run(ctx) // the result holds the error
		display.Stop()
		results = append(results, result)
		if errors.Is(err, drill.ErrInterrupted) {
			break
		}
		if err := drill.Save(statePath, result); err != nil {
			fmt.Fprintln(a.err, "archiverd: warning: "+safetext.Text(err.Error())+"; status will not show this drill")
		}
	}
	err = a.print(results, func(w io.Writer) error { return printDrills(w, results) })
	return reported(err, !slices.ContainsFunc(results, func(d drill.Result) bool { return !d.OK() }))
}

// drillNames are the accounts to drill: those named, or all of the configuration and of
// the archive.
func drillNames(r *archive.Archive, cfg *config.Config, names []string) ([]string, error) {
	if len(names) > 0 {
		_, err := archivedAccounts(r, names)
		return names, err
	}
	for i := range cfg.Accounts {
		names = append(names, cfg.Accounts[i].Name)
	}
	others, err := setup.Unconfigured(r, cfg)
	return append(names, others...), err
}

// drillJobs returns a job for each account.
func (a *app) drillJobs(r *archive.Archive, cfg *config.Config, f drillFlags, names []string) ([]*drill.Job, error) {
	sample := cfg.Drill.Sample
	if f.sample != "" {
		var err error
		if sample, err = config.ParseSample(f.sample); err != nil {
			return nil, usage(fmt.Errorf("--sample: %w", err))
		}
	}
	var to *session.Account
	if f.to != "" {
		target, err := configuredAccount(cfg, f.to)
		if err != nil {
			return nil, err
		}
		account, err := setup.Account(cfg, target, setup.SharedLimiter(cfg))
		if err != nil {
			return nil, usage(err)
		}
		to = &account
	}
	into := cmp.Or(f.into, "archiverd-drill-"+time.Now().Format(time.DateOnly))
	log, slots := a.logger(cfg), semaphore.NewWeighted(int64(cfg.Limits.Connections))
	jobs := make([]*drill.Job, len(names))
	for i, name := range names {
		job, err := drill.New(r, name)
		if err != nil {
			return nil, err
		}
		job.Sample, job.Named, job.Log = sample.Of, sample.String(), log
		if to != nil {
			job.Scratch, job.To, job.Into, job.Slots = nil, to, into, slots
		}
		jobs[i] = job
	}
	return jobs, nil
}
