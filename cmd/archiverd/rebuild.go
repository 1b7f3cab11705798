package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
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
			h, err := openKnown(cfg, id, a.logger(cfg))
			if err != nil {
				return err
			}
			if err := h.rebuild(); err != nil {
				h.Close()
				return err
			}
			fmt.Fprintf(a.out, "state database %s made anew from the journals in %v\n", cfg.State.Path, time.Since(began).Round(time.Millisecond))
			return h.Close()
		},
	}
}

// rebuild makes the state database anew, unless opening it or bringing it up to
// the archive has done so already.
func (h *house) rebuild() error {
	if !h.store.State.IsRebuilt() {
		if err := h.catchUp(); err != nil {
			return err
		}
	}
	if h.store.State.IsRebuilt() {
		return nil
	}
	notes, err := h.store.State.Rebuild()
	for _, n := range notes {
		h.log.Warn(n)
	}
	return err
}
