package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	gosync "sync"

	"github.com/spf13/cobra"

	"archiverd/internal/config"
	"archiverd/internal/setup"
	"archiverd/internal/ui"
	"archiverd/state"
	"archiverd/sync"
)

func (a *app) syncCommand() *cobra.Command {
	var f config.Flags
	cmd := &cobra.Command{
		Use:   "sync [ACCOUNT…]",
		Short: "Archive now: one run of each account, or of those named",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, err := a.syncConfig(f)
			if err != nil {
				return err
			}
			return a.sync(cmd.Context(), cfg, names)
		},
	}
	a.jsonFlag(cmd)
	cmd.Flags().StringVar(&f.Server, "server", "", "IMAP server, `HOST[:PORT]`, instead of a configuration")
	cmd.Flags().StringVar(&f.Username, "username", "", "user name on that server")
	cmd.Flags().StringVar(&f.Archive, "archive", "", "archive `DIR`, created if it is missing")
	cmd.Flags().StringVar(&f.PasswordFile, "password-file", "", "`FILE` with the password, which nobody else may read")
	cmd.Flags().StringVar(&f.TLS, "tls", "", "implicit (default), starttls or none")
	cmd.Flags().StringVar(&f.TLSCAFile, "tls-ca-file", "", "`FILE` of the authorities to trust, PEM")
	cmd.Flags().StringVar(&f.TLSFingerprint, "tls-fingerprint", "", "SHA-256 of the server's certificate, to trust only that one")
	cmd.Flags().BoolVar(&f.AllowPlaintext, "allow-plaintext", false, "with --tls none, allow to send the password unencrypted")
	return cmd
}

// syncConfig returns the configuration of the file or, with --server, --username or
// --archive, one with the single account that the flags describe.
func (a *app) syncConfig(f config.Flags) (*config.Config, error) {
	if f.Server == "" && f.Username == "" && f.Archive == "" {
		return a.load()
	}
	cfg, err := config.Single(f)
	if err != nil {
		return nil, usage(err)
	}
	if f.PasswordFile != "" {
		return cfg, nil
	}
	password, err := ui.AskPassword(a.in, a.err, fmt.Sprintf("Password of %s on %s: ", f.Username, f.Server))
	if errors.Is(err, ui.ErrNoTerminal) {
		err = fmt.Errorf("%w, so the password can't be asked for: use --password-file, or a configuration", err)
	}
	if err != nil {
		return nil, usage(err)
	}
	cfg.Accounts[0].SetPassword(password)
	return cfg, nil
}

// sync runs the jobs of the accounts at the same time and prints their ledgers.
func (a *app) sync(ctx context.Context, cfg *config.Config, names []string) error {
	accounts, err := configuredAccounts(cfg, names)
	if err != nil {
		return err
	}
	display := a.newProgress()
	ctx, stop := interruptible(ctx, a.err, "what has been received is being committed")
	defer stop()
	parts, err := setup.OpenWithoutCatchUp(cfg, a.logger(cfg))
	if err != nil {
		return err
	}
	defer parts.Close()
	catchUp := gosync.OnceValue(parts.CatchUp)
	jobs, shown := make([]*sync.Job, len(accounts)), make([]ui.Job, len(accounts))
	for i, acc := range accounts {
		if jobs[i], err = parts.Job(acc); err != nil {
			return usage(err)
		}
		jobs[i].Prepare = catchUp
		shown[i] = jobs[i]
	}
	display.Start(shown...)
	runs := make([]state.Run, len(jobs))
	var wg gosync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() { runs[i], _ = j.Run(ctx) }) // the run holds the error
	}
	wg.Wait()
	display.Stop()
	err = a.print(runs, func(w io.Writer) error { return printRuns(w, runs) })
	return reported(err, !slices.ContainsFunc(runs, func(r state.Run) bool { return !r.OK() }))
}

// newProgress returns a progress display on standard error. From then on a.err writes
// above it.
func (a *app) newProgress() *ui.ProgressDisplay {
	display, w := ui.NewProgressDisplay(a.err)
	a.err = w
	return display
}
