package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/dustin/go-humanize/english"
	"github.com/spf13/cobra"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/safetext"
	"archiverd/internal/search"
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
	umask(x.GroupRead)
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

// indexing keeps the index while the daemon runs: after every run that asks for it,
// one at a time.
type indexing struct {
	ask  chan struct{}
	done chan struct{}
}

// startIndexing begins with an update. It is nil where the configuration wants none.
func startIndexing(ctx context.Context, cfg *config.Config, log *slog.Logger) *indexing {
	if !cfg.Index.Enabled {
		return nil
	}
	ix := &indexing{ask: make(chan struct{}, 1), done: make(chan struct{})}
	ix.poke()
	go func() {
		defer close(ix.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-ix.ask:
				updateIndex(ctx, cfg, log)
			}
		}
	}()
	return ix
}

// poke has the index brought up to date, soon.
func (ix *indexing) poke() {
	if ix == nil {
		return
	}
	select {
	case ix.ask <- struct{}{}:
	default: // it will be, and with what has come until then
	}
}

// wait waits until the context's end has been obeyed.
func (ix *indexing) wait() {
	if ix != nil {
		<-ix.done
	}
}

// updateIndex is one update of the daemon's.
func updateIndex(ctx context.Context, cfg *config.Config, log *slog.Logger) {
	r, err := archive.Open(cfg.Archive.Path)
	if err != nil {
		log.Error("the index could not be brought up to date", logkey.Error, err)
		return
	}
	defer r.Close()
	began := time.Now()
	done, err := (&search.Indexer{Archive: r, Path: cfg.Index.Path, GroupRead: cfg.Archive.Group}).Update(ctx)
	if done != nil {
		for _, note := range done.Notes {
			log.Warn(note)
		}
		for _, e := range done.Errors {
			log.Warn("not in the index", logkey.Error, e)
		}
	}
	switch {
	case ctx.Err() != nil:
		log.Info("the index was left as it was; the next start goes on")
	case errors.Is(err, search.ErrBusy):
		log.Info("the index is left to another archiverd", logkey.Error, err)
	case err != nil:
		log.Error("the index could not be brought up to date", logkey.Error, err)
	case done.Added > 0:
		log.Info("index brought up to date", "added", done.Added, "messages", done.Documents, logkey.Elapsed, time.Since(began).Round(time.Millisecond))
	}
}
