package daemon

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"archiverd/archive"
	"archiverd/internal/config"
	"archiverd/internal/logkey"
	"archiverd/internal/search"
)

// indexing keeps the search index current: one update at a time, after each run. A nil
// *indexing keeps none.
type indexing struct {
	wanted chan struct{} // holds one element while an update is wanted
	done   chan struct{} // closed when the goroutine has ended
}

// startIndexing starts with an update and ends with ctx. It returns nil if the
// configuration has no index.
func startIndexing(ctx context.Context, cfg *config.Config, log *slog.Logger) *indexing {
	if !cfg.Index.Enabled {
		return nil
	}
	x := &indexing{wanted: make(chan struct{}, 1), done: make(chan struct{})}
	x.update()
	go func() {
		defer close(x.done)
		for {
			select {
			case <-ctx.Done():
				return
			case <-x.wanted:
				updateIndex(ctx, cfg, log)
			}
		}
	}()
	return x
}

// update wants an update soon. It does not wait for it.
func (x *indexing) update() {
	if x == nil {
		return
	}
	select {
	case x.wanted <- struct{}{}:
	default: // the update that is wanted already covers everything until it starts
	}
}

// wait waits until the goroutine has ended, after the end of its context.
func (x *indexing) wait() {
	if x != nil {
		<-x.done
	}
}

// updateIndex brings the index up to date and logs the outcome.
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
