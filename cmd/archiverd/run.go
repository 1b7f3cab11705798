package main

import (
	"github.com/spf13/cobra"

	"archiverd/internal/daemon"
)

func (a *app) runCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "The daemon: archive every account on its schedule",
		Long: `Archives every account on its schedule, until SIGTERM or SIGINT: then nothing more
is fetched, what has been received is committed, and it ends; a second signal ends
it at once. SIGHUP reads the configuration again, without touching a run under way.

It tells systemd (Type=notify) when it is ready, what it does, and that it lives.
` + exitHelp,
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
