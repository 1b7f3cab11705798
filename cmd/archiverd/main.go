// Command archiverd archives IMAP mailboxes into plain .eml files, on a
// schedule, and proves that they are all there.
//
// This package is wiring and printing: one file a command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	_ "time/tzdata" // CRON_TZ= must work where the system has no zone files

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/state"
)

// The exit statuses, as every help text has them.
const (
	exitFailed = 1 // something failed, the rest was done
	exitUsage  = 2 // usage or configuration
	exitLocked = 3 // another archiverd holds the archive
	exitDamage = 4 // verification found damage
)

const exitHelp = `
Exit status: 0 all well · 1 something failed, the rest was done · 2 usage or
configuration · 3 another archiverd holds the archive · 4 verification found damage`

// exit is an error with an exit status. Its err may be nil: all has been said.
type exit struct {
	status int
	err    error
}

func (e *exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// usage marks an error as the user's to mend in the command or configuration.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err}
}

func main() {
	paceHeap()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program with everything it touches handed to it.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(errOut, "archiverd: "+safetext.Text(text))
	}
	var e *exit
	var faults *config.Faults
	switch {
	case errors.Is(err, archive.ErrLocked), errors.Is(err, state.ErrLocked):
		return exitLocked
	case errors.As(err, &e):
		return e.status
	case errors.As(err, &faults), !a.began:
		return exitUsage
	}
	return exitFailed
}

// app is what the commands share: streams and the flags of all of them.
type app struct {
	in       io.Reader
	out, err io.Writer

	configPath string
	archiveDir string
	json       bool

	began bool // flags and arguments were as they should be
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "archiverd",
		Short: "Archives IMAP mailboxes into plain .eml files, and proves that they are all there",
		Long: `archiverd archives IMAP mailboxes into a directory of plain .eml files, on a
schedule, and proves that they are all there.
` + exitHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration `FILE` (default $ARCHIVERD_CONFIG, ./config.yaml, /etc/archiverd/config.yaml)")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		a.runCommand(), a.syncCommand(), a.statusCommand(), a.listCommand(), a.searchCommand(), a.indexCommand(), a.showCommand(), a.logCommand(), a.verifyCommand(),
		a.rebuildCommand(), a.exportCommand(), a.restoreCommand(), a.importCommand(), a.drillCommand(), a.remoteCommand(), a.configCommand(), a.demoCommand(), a.versionCommand(),
	)
	a.prepare(root.Commands())
	return root
}

// prepare makes commands take no arguments unless they say otherwise, and tell
// when their flags and arguments have been accepted.
func (a *app) prepare(commands []*cobra.Command) {
	for _, cmd := range commands {
		if cmd.Args == nil {
			cmd.Args = cobra.NoArgs
		}
		do := cmd.RunE
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.began = true
			return do(cmd, args)
		}
		a.prepare(cmd.Commands())
	}
}
