package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/search"
	"archiverd/internal/setup"
	"archiverd/internal/ui"
)

func (a *app) indexCommand() *cobra.Command {
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Create or update the full-text index of search",
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, cfg, err := a.reader()
			if err != nil {
				return err
			}
			defer r.Close()
			return a.index(cmd.Context(), r, cfg, rebuild)
		},
	}
	a.archiveFlag(cmd)
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "create it again, even if there is one")
	return cmd
}

// indexReportInterval is the time between two lines of progress.
const indexReportInterval = 5 * time.Second

func (a *app) index(ctx context.Context, r *archive.Archive, cfg *config.Config, rebuild bool) error {
	ctx, stop := interruptible(ctx, a.err, "the update of the index is being stopped")
	defer stop()
	start := time.Now()
	printed := start
	x := &search.Indexer{Archive: r, Path: indexPath(r, cfg), GroupRead: cfg != nil && cfg.Archive.Group, Rebuild: rebuild, Progress: func(n int) {
		if time.Since(printed) > indexReportInterval {
			printed = time.Now()
			fmt.Fprintf(a.err, "%s so far\n", english.Plural(n, "message", ""))
		}
	}}
	setup.Umask(x.GroupRead)
	done, err := x.Update(ctx)
	if err != nil {
		return err
	}
	a.printNotes(done.Notes, done.Errors)
	size := ""
	if st, err := os.Stat(x.Path); err == nil {
		size = ", " + ui.Octets(st.Size())
	}
	_, err = fmt.Fprintf(a.out, "index %s: %s%s, %d of them new, in %v\n", safetext.Line(x.Path), english.Plural(done.Documents, "message", ""), size,
		done.Added, time.Since(start).Round(time.Millisecond))
	return reported(err, len(done.Errors) == 0)
}
