package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/safetext"
	"archiverd/internal/search"
	"archiverd/internal/setup"
)

func (a *app) indexCommand() *cobra.Command {
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Make or bring up to date the full-text index of search",
		Long: `Makes the index that search uses, or brings it up to the journals. It is one file
beside the state database (index.path), needed for nothing but speed: it can be deleted,
and one that is lost, damaged or of another archive is made anew. Searches go on with the
old one meanwhile, and read from the archive what it lacks.

With index.enabled in the configuration the daemon does this after every run. The index
holds the words of the mail: protect it like the archive.
` + exitHelp,
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
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "make it anew, whatever is there")
	return cmd
}

func (a *app) index(ctx context.Context, r *archive.Archive, cfg *config.Config, rebuild bool) error {
	ctx, stop := interruptible(ctx, a.err, "stopping")
	defer stop()
	began, told := time.Now(), time.Now()
	x := &search.Indexer{Archive: r, Path: indexPath(r, cfg), GroupRead: cfg != nil && cfg.Archive.Group, Rebuild: rebuild, Progress: func(n int) {
		if time.Since(told) > 5*time.Second {
			told = time.Now()
			fmt.Fprintf(a.err, "%s so far\n", english.Plural(n, "message", ""))
		}
	}}
	setup.Umask(x.GroupRead)
	done, err := x.Update(ctx)
	if err != nil {
		return err
	}
	for _, note := range done.Notes {
		fmt.Fprintln(a.err, "note: "+safetext.Line(note))
	}
	for _, e := range done.Errors {
		fmt.Fprintln(a.err, "archiverd: "+safetext.Line(e.Error()))
	}
	size := ""
	if st, err := os.Stat(x.Path); err == nil {
		size = ", " + humanize.IBytes(uint64(st.Size()))
	}
	fmt.Fprintf(a.out, "index %s: %s%s, %d of them new, in %v\n", safetext.Line(x.Path), english.Plural(done.Documents, "message", ""), size,
		done.Added, time.Since(began).Round(time.Millisecond))
	if len(done.Errors) > 0 {
		return &exit{status: exitFailed}
	}
	return nil
}
