package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) rebuildCommand() *cobra.Command {
	adopt := false
	cmd := &cobra.Command{
		Use:   "rebuild [--adopt [ACCOUNT[/MAILBOX]]]",
		Short: "Create the state database again from the journals",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case adopt && len(args) == 1:
				return a.adopt(cmd.Context(), args[0])
			case adopt:
				return a.adopt(cmd.Context(), "")
			case len(args) > 0:
				return usage(errors.New("rebuild concerns the whole archive; only with --adopt an account or a mailbox can be named"))
			}
			return a.rebuild()
		},
	}
	cmd.Flags().BoolVar(&adopt, "adopt", false, "go on with mailboxes that lost their journal, or a part of it, as they are")
	return cmd
}

func (a *app) rebuild() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	start := time.Now()
	parts, err := a.openAsOwner()
	if err != nil {
		return err
	}
	if err := errors.Join(parts.Rebuild(), parts.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "state database %s rebuilt from the journals in %v\n", cfg.State.Path, time.Since(start).Round(time.Millisecond))
	return err
}
