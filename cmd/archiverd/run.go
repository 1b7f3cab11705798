package main

import (
	"github.com/spf13/cobra"

	"archiverd/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the daemon: archive every account on its schedule",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			d := &daemon.Daemon{Version: version(), Log: a.logger(cfg), Load: a.load}
			return d.Run(cmd.Context(), cfg)
		},
	}
}
