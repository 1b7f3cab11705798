// Command archiverd archives IMAP mailboxes into plain .eml files, on a schedule, and
// proves that they are all there.
//
// This package has one file for each command: its flags, how it puts the other packages
// to work, and its exit status. A command's help text is help/COMMAND.txt; what it prints
// for people is in COMMAND_report.go.
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
	"archiverd/internal/durable"
	"archiverd/internal/safetext"
	"archiverd/state"
)

// The exit statuses. Every help text ends with them.
const (
	exitFailed = 1 // something failed, the rest was done
	exitUsage  = 2 // usage or configuration
	exitLocked = 3 // another archiverd has the archive open for writing
	exitDamage = 4 // verification found damage
)

// exitError is an error with an exit status. A nil err means that the report of the
// command says what is wrong.
type exitError struct {
	status int
	err    error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usage marks an error as one that the user corrects in the command line or the
// configuration. usage(nil) is nil.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &exitError{exitUsage, err}
}

// reported is err or, if that is nil and the report says that not all is well, an error
// without a text that makes the exit status 1.
func reported(err error, ok bool) error {
	if err == nil && !ok {
		return &exitError{status: exitFailed}
	}
	return err
}

func main() {
	paceHeap()
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program with its arguments and streams. It returns the exit status.
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
	var e *exitError
	var faults *config.Faults
	switch {
	case errors.Is(err, archive.ErrLocked), errors.Is(err, state.ErrLocked):
		return exitLocked
	case errors.As(err, &e):
		return e.status
	case errors.As(err, &faults), errors.Is(err, durable.ErrForeign), !a.accepted:
		return exitUsage
	}
	return exitFailed
}

// app is what the commands share: the streams and the common flags.
type app struct {
	in       io.Reader
	out, err io.Writer

	configPath string
	archiveDir string
	json       bool

	accepted bool // the flags and arguments are valid: later errors are not of usage
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "archiverd",
		Short:         "Archives IMAP mailboxes into plain .eml files, and proves that they are all there",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	a.configFlag(root)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		a.runCommand(), a.syncCommand(), a.statusCommand(), a.listCommand(), a.searchCommand(), a.indexCommand(), a.showCommand(), a.logCommand(), a.verifyCommand(),
		a.rebuildCommand(), a.forgetCommand(), a.exportCommand(), a.restoreCommand(), a.importCommand(), a.drillCommand(), a.remoteCommand(), a.configCommand(), a.demoCommand(), a.versionCommand(),
	)
	a.prepare(root)
	return root
}

// prepare gives a command and those below it their help texts, lets them take no
// arguments unless they say otherwise, and records when flags and arguments have been
// accepted.
func (a *app) prepare(cmd *cobra.Command) {
	setHelp(cmd)
	if runE := cmd.RunE; runE != nil {
		if cmd.Args == nil {
			cmd.Args = cobra.NoArgs
		}
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			a.accepted = true
			return runE(cmd, args)
		}
	}
	for _, sub := range cmd.Commands() {
		a.prepare(sub)
	}
}
