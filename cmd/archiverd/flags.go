package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"archiverd/internal/safetext"
	"archiverd/internal/ui"
)

// configFlag adds --config to the root command, for all commands.
func (a *app) configFlag(root *cobra.Command) {
	root.PersistentFlags().StringVar(&a.configPath, "config", "", "configuration `FILE` (default $ARCHIVERD_CONFIG, ./config.yaml, /etc/archiverd/config.yaml)")
}

// archiveFlag adds --archive to a command that needs no configuration.
func (a *app) archiveFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.archiveDir, "archive", "", "archive `DIR`, instead of the configuration's")
}

// jsonFlag adds --json.
func (a *app) jsonFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON for programs")
}

// yesFlag adds --yes, which answers the question of confirm.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do not ask")
}

// print prints a command's result: with --json as JSON, else with report.
func (a *app) print(result any, report func(io.Writer) error) error {
	if a.json {
		return safetext.WriteJSON(a.out, result)
	}
	return report(a.out)
}

// printNotes prints notes and errors to standard error.
func (a *app) printNotes(notes []string, errs []error) {
	for _, note := range notes {
		fmt.Fprintln(a.err, "note: "+safetext.Line(note))
	}
	for _, err := range errs {
		fmt.Fprintln(a.err, "archiverd: "+safetext.Line(err.Error()))
	}
}

// errNoQuestion is returned where a person has to confirm and can't be asked.
var errNoQuestion = fmt.Errorf("%w, so nobody can be asked: add --yes to go ahead without a question", ui.ErrNoTerminal)

// checkConfirm returns a usage error if confirm could not ask.
func (a *app) checkConfirm(yes bool) error {
	if yes || ui.Terminal(a.in) != nil {
		return nil
	}
	return usage(errNoQuestion)
}

// confirm asks a person on the terminal a question. Without a terminal it is a usage
// error.
func (a *app) confirm(question string) (bool, error) {
	ok, err := ui.Confirm(a.in, a.err, question)
	if errors.Is(err, ui.ErrNoTerminal) {
		err = usage(errNoQuestion)
	}
	return ok, err
}
