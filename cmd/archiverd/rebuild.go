package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/setup"
)

func (a *app) rebuildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Make the state database anew from the journals",
		Long: `Makes the state database anew from the journals. Nothing is lost by it but the
list of the last runs; the next sync looks at every mailbox and downloads nothing
that the archive has.
` + exitHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			// The archive that is there, whatever the database was of; but
			// none is begun.
			r, err := archive.Open(cfg.Archive.Path)
			if err != nil {
				return err
			}
			id := r.ID()
			if err := r.Close(); err != nil {
				return err
			}
			began := time.Now()
			h, err := setup.OpenKnown(cfg, id, a.logger(cfg))
			if err != nil {
				return err
			}
			if err := h.Rebuild(); err != nil {
				h.Close()
				return err
			}
			fmt.Fprintf(a.out, "state database %s made anew from the journals in %v\n", cfg.State.Path, time.Since(began).Round(time.Millisecond))
			return h.Close()
		},
	}
}
