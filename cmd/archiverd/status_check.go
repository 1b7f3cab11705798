package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
	"archiverd/internal/daemon"
	"archiverd/internal/setup"
	"archiverd/state"
	"archiverd/sync/check"
)

// checkReport is what status --check prints as JSON.
type checkReport struct {
	Archive  string         `json:"archive"`
	ID       string         `json:"id"`
	Notes    []string       `json:"notes,omitempty"`
	Accounts []check.Report `json:"accounts"`
}

// statusCheck asks the servers of the accounts what they have, and compares that with the
// archive.
func (a *app) statusCheck(ctx context.Context, names []string) error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := configuredAccounts(cfg, names)
	if err != nil {
		return err
	}
	dir, statePath := a.archivePaths(cfg)
	r, err := archive.Open(dir)
	if err != nil && a.archiveDir != "" {
		err = usage(err)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	report := checkReport{Archive: dir, ID: r.ID(), Accounts: make([]check.Report, len(accounts))}
	var last map[string]*state.Run
	if last, report.Notes, err = a.lastRuns(ctx, cfg.Control.Socket, statePath); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(cfg.Limits.Connections)
	log, limit := a.logger(cfg), setup.SharedLimiter(cfg)
	for i, acc := range accounts {
		account, err := setup.Account(cfg, acc, limit)
		if err != nil {
			return errors.Join(usage(err), group.Wait())
		}
		k := &check.Job{Account: account, Policy: setup.Policy(cfg, acc), Archive: r, Last: last[acc.Name], Log: log}
		group.Go(func() error {
			report.Accounts[i] = k.Run(ctx) // the check holds its error
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	err = a.print(report, func(w io.Writer) error { return printCheckReport(w, &report) })
	return reported(err, !slices.ContainsFunc(report.Accounts, func(c check.Report) bool { return !c.OK() }))
}

// lastRuns returns the last run of each account, by name: from the daemon, or without one
// from the state database. The notes say what is not known, and why.
func (a *app) lastRuns(ctx context.Context, socket, statePath string) (last map[string]*state.Run, notes []string, err error) {
	last = map[string]*state.Run{}
	if a.archiveDir == "" {
		report, err := daemon.Ask(ctx, socket)
		if !errors.Is(err, daemon.ErrNotRunning) {
			return last, addLastRuns(last, report), err
		}
	}
	runs, _, err := daemon.ReadRuns(statePath)
	for name, list := range runs {
		if len(list) > 0 {
			last[name] = &list[0]
		}
	}
	if err != nil {
		notes = append(notes, daemon.StateUnreadable(err)+", so it is not known which messages arrived since the last run")
	}
	return last, notes, nil
}

// addLastRuns adds the last runs of the daemon's report, which may be nil. A note tells of
// each run in progress.
func addLastRuns(last map[string]*state.Run, report *daemon.Report) (notes []string) {
	if report == nil {
		return nil
	}
	for _, acc := range report.Accounts {
		last[acc.Account] = acc.Last
		if acc.Running != nil {
			notes = append(notes, fmt.Sprintf("a run of account %s is in progress: what it has not archived yet may be missing", acc.Account))
		}
	}
	return notes
}
