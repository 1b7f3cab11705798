package main

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/daemon"
)

func (a *app) statusCommand() *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "status [ACCOUNT…]",
		Short: "Print what each mailbox has on the server and in the archive",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if check {
				return a.statusCheck(cmd.Context(), names)
			}
			return a.status(cmd.Context(), names)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "ask the servers now, and compare by UID with the archive")
	a.archiveFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) status(ctx context.Context, names []string) error {
	report, err := a.statusReport(ctx)
	if err == nil {
		err = selectReported(report, names)
	}
	if err != nil {
		return err
	}
	err = a.print(report, func(w io.Writer) error { return printStatus(w, report, time.Now()) })
	return reported(err, report.Stopped == "" && !slices.ContainsFunc(report.Accounts, needsAttention))
}

// needsAttention reports whether the last run of an account was incomplete, or its last
// drill found a difference. An import, and an account that the configuration no longer has,
// have no next run that could complete them: they do not count.
func needsAttention(s daemon.AccountStatus) bool {
	if s.Unconfigured {
		return false
	}
	return s.Last != nil && !isImport(*s.Last) && !s.Last.OK() || s.Drill != nil && !s.Drill.OK()
}

// statusReport asks the daemon for its report. Without a daemon it reads the state
// database and the archive.
func (a *app) statusReport(ctx context.Context) (*daemon.Report, error) {
	var cfg *config.Config
	if a.archiveDir == "" {
		var err error
		if cfg, err = a.load(); err != nil {
			return nil, err
		}
		report, err := daemon.Ask(ctx, cfg.Control.Socket)
		if err == nil || !errors.Is(err, daemon.ErrNotRunning) {
			return report, err
		}
	}
	dir, statePath := a.archivePaths(cfg)
	r, err := archive.Open(dir)
	if err != nil && cfg == nil {
		err = usage(err)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return daemon.Read(r, dir, cfg, statePath)
}

// archivePaths are the directory of the archive and the file of the state database: with
// --archive that archive and its own database, else those of the configuration.
func (a *app) archivePaths(cfg *config.Config) (dir, statePath string) {
	if a.archiveDir != "" {
		return a.archiveDir, filepath.Join(a.archiveDir, "state.db")
	}
	return cfg.Archive.Path, cfg.State.Path
}

// selectReported removes from the report all accounts but those named. Without names it
// removes none.
func selectReported(s *daemon.Report, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var have []string
	for _, acc := range s.Accounts {
		have = append(have, acc.Account)
	}
	if err := checkAccounts(names, have, "the configuration or the archive"); err != nil {
		return err
	}
	s.Accounts = slices.DeleteFunc(s.Accounts, func(acc daemon.AccountStatus) bool { return !slices.Contains(names, acc.Account) })
	return nil
}
