package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/setup"
)

func (a *app) rebuildCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rebuild",
		Short: "Create the state database again from the journals",
		RunE: func(_ *cobra.Command, _ []string) error {
			return a.rebuild()
		},
	}
}

func (a *app) rebuild() error {
	cfg, err := a.load()
	if err != nil {
		return err
	}
	// Rebuild from the archive that is there, even if the database belongs to another
	// one, but create no archive.
	r, err := archive.Open(cfg.Archive.Path)
	if err != nil {
		return err
	}
	id := r.ID()
	if err := r.Close(); err != nil {
		return err
	}
	start := time.Now()
	parts, err := setup.OpenKnown(cfg, id, a.logger(cfg))
	if err != nil {
		return err
	}
	if err := errors.Join(parts.Rebuild(), parts.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "state database %s rebuilt from the journals in %v\n", cfg.State.Path, time.Since(start).Round(time.Millisecond))
	return err
}
