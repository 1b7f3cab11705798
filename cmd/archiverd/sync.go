package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	gosync "sync"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/setup"
	"archiverd/state"
	"archiverd/sync"
)

func (a *app) syncCommand() *cobra.Command {
	var f config.Flags
	cmd := &cobra.Command{
		Use:   "sync [ACCOUNT…]",
		Short: "Archive now: one round over all accounts, or those named",
		Long: `Archives every account of the configuration, or those named, once, and prints
the ledger of each: what the server has, and what became of it.

Without a configuration, --server, --username and --archive name the one account;
the password is asked for, or read from --password-file.
` + exitHelp,
		Example: `  archiverd sync
  archiverd sync work
  archiverd sync --server imap.example.com --username me --archive ./mail`,
		Args: cobra.ArbitraryArgs,
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
	cmd.Flags().StringVar(&f.Archive, "archive", "", "archive `DIR`, made if it is missing")
	cmd.Flags().StringVar(&f.PasswordFile, "password-file", "", "`FILE` with the password, which nobody else may read")
	cmd.Flags().StringVar(&f.TLS, "tls", "", "implicit (default), starttls or none")
	cmd.Flags().StringVar(&f.TLSCAFile, "tls-ca-file", "", "`FILE` of the authorities to trust, PEM")
	cmd.Flags().StringVar(&f.TLSFingerprint, "tls-fingerprint", "", "SHA-256 of the server's certificate, to trust that one only")
	cmd.Flags().BoolVar(&f.AllowPlaintext, "allow-plaintext", false, "with --tls none, let the password cross the network readable")
	return cmd
}

// syncConfig is the configuration, or the one account of the flags.
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
	password, err := a.ask(fmt.Sprintf("Password of %s on %s: ", f.Username, f.Server))
	if err != nil {
		return nil, usage(err)
	}
	cfg.Accounts[0].SetPassword(password)
	return cfg, nil
}

// ask asks for a secret on the terminal.
func (a *app) ask(prompt string) ([]byte, error) {
	f, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil, errors.New("the password can't be asked for, standard input is no terminal: use --password-file, or a configuration")
	}
	before, err := term.GetState(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("ask for the password: %w", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	answered := make(chan struct{})
	defer func() { signal.Stop(signals); close(answered) }()
	go func() {
		select {
		case <-signals: // the shell would be left without an echo
			_ = term.Restore(int(f.Fd()), before) // nothing more can be done about it
			os.Exit(exitFailed)
		case <-answered:
		}
	}()
	fmt.Fprint(a.err, prompt)
	secret, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(a.err)
	if err != nil {
		return nil, fmt.Errorf("read the password: %w", err)
	}
	return secret, nil
}

// choose returns the accounts with these names, all if there are none.
func choose(cfg *config.Config, names []string) ([]*config.Account, error) {
	var out []*config.Account
	left := map[string]bool{}
	for _, n := range names {
		left[n] = true
	}
	var have []string
	for i := range cfg.Accounts {
		acc := &cfg.Accounts[i]
		have = append(have, acc.Name)
		if len(names) == 0 || left[acc.Name] {
			out = append(out, acc)
			delete(left, acc.Name)
		}
	}
	for n := range left {
		return nil, usage(fmt.Errorf("no account %q in the configuration; it has %s", n, strings.Join(have, ", ")))
	}
	return out, nil
}

// sync runs the jobs of accounts at the same time and prints their ledgers.
func (a *app) sync(ctx context.Context, cfg *config.Config, names []string) error {
	accounts, err := choose(cfg, names)
	if err != nil {
		return err
	}
	show := a.newProgress()
	ctx, stop := interruptible(ctx, a.err, "what has been received is being committed")
	defer stop()
	log := a.logger(cfg)
	h, err := setup.OpenStale(cfg, log)
	if err != nil {
		return err
	}
	defer h.Close()
	catchUp := gosync.OnceValue(h.CatchUp)
	jobs, shown := make([]*sync.Job, len(accounts)), make([]job, len(accounts))
	for i, acc := range accounts {
		if jobs[i], err = h.Job(acc); err != nil {
			return usage(err)
		}
		jobs[i].Prepare = catchUp
		shown[i] = jobs[i]
	}
	show.start(shown...)
	runs := make([]state.Run, len(jobs))
	var wg gosync.WaitGroup
	for i, j := range jobs {
		wg.Go(func() { runs[i], _ = j.Run(ctx) }) // the error stands in the run
	}
	wg.Wait()
	show.stop()
	failed := false
	for _, r := range runs {
		failed = failed || !r.OK()
	}
	if a.json {
		err = safetext.WriteJSON(a.out, runs)
	} else {
		err = printRuns(a.out, runs)
	}
	if err == nil && failed {
		err = &exit{status: exitFailed}
	}
	return err
}

// interruptible is a context that SIGINT and SIGTERM end: politely the first
// time, when it tells what is still being done, at once the second.
func interruptible(ctx context.Context, errOut io.Writer, still string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for n := 0; ; n++ {
			select {
			case <-signals:
				if n > 0 {
					os.Exit(exitFailed)
				}
				cancel() // before the message: whoever should read it may have hung up
				fmt.Fprintln(errOut, "archiverd: stopping; "+still+". Again to stop at once.")
			case <-done:
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(signals); close(done); cancel() }
}
