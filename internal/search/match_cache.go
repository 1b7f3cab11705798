package search

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// maxParallelReads limits the messages that are read at the same time, and so the
// memory: each may take ten times maxTextOctets.
const maxParallelReads = 8

// parallelReads returns how many messages are read at the same time.
func parallelReads() int { return min(runtime.GOMAXPROCS(0), maxParallelReads) }

// matchCache reads messages and caches whether a query's terms about octets hold for
// them. Any number of goroutines may use it.
type matchCache struct {
	archive *archive.Archive
	query   *Query

	mu          gosync.Mutex // guards the fields below
	matched     map[archive.Sum]bool
	idleReaders []documentReader
}

func newMatchCache(a *archive.Archive, q *Query) *matchCache {
	return &matchCache{archive: a, query: q, matched: map[archive.Sum]bool{}}
}

// isMatch reports whether the cache has a match for octets.
func (c *matchCache) isMatch(sum archive.Sum) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.matched[sum]
}

// setMatch adds a result that is known from elsewhere.
func (c *matchCache) setMatch(sum archive.Sum, matched bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.matched[sum] = matched
}

// matchAll matches the messages of a mailbox in parallel. It returns the errors of
// messages that can't be read, and ends early if ctx ends.
func (c *matchCache) matchAll(ctx context.Context, b archive.MailboxDir, messages []*archive.Message) []error {
	var errs []error
	var mu gosync.Mutex // guards errs
	var g errgroup.Group
	g.SetLimit(parallelReads())
	started := map[archive.Sum]bool{}
	for _, m := range messages {
		if started[m.Sum] || ctx.Err() != nil {
			continue
		}
		started[m.Sum] = true
		g.Go(func() error {
			if _, err := c.matches(b.ID(m), m.Sum, m.Size); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // the functions return no error
	return errs
}

// matches reports whether the terms hold for the message at path. It reads the file
// only if the cache has no result for its octets.
func (c *matchCache) matches(path string, sum archive.Sum, size int64) (bool, error) {
	c.mu.Lock()
	matched, ok := c.matched[sum]
	if ok {
		c.mu.Unlock()
		return matched, nil
	}
	var r documentReader
	if n := len(c.idleReaders); n > 0 {
		r, c.idleReaders = c.idleReaders[n-1], c.idleReaders[:n-1]
	} else {
		r = documentReader{newWordFolder()}
	}
	c.mu.Unlock()
	matched, err := c.readAndMatch(r, path, size)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idleReaders = append(c.idleReaders, r)
	if err == nil {
		c.matched[sum] = matched
	}
	return matched, err
}

// readAndMatch reads what the query needs of the message at path and matches it.
func (c *matchCache) readAndMatch(r documentReader, path string, size int64) (bool, error) {
	header, text := c.query.needs()
	if !header {
		return c.query.matchesDocument(&document{}, size), nil
	}
	f, err := c.archive.OpenFile(path)
	if err != nil {
		return false, fmt.Errorf("search message: %w", err)
	}
	defer f.Close()
	d, err := r.read(f, !text)
	if err != nil {
		return false, fmt.Errorf("search %s: %w", path, err)
	}
	return c.query.matchesDocument(d, size), nil
}

// errDamagedMessage is returned for a message whose SHA-256 is not that of the journal.
var errDamagedMessage = errors.New("its octets differ from the archived message; `archiverd verify` shows details")

// readVerified reads the message at path for the index. The error is errDamagedMessage
// if its SHA-256 is not sum: words of damaged octets must not enter the index, where
// they would stay after the file is repaired.
func (r documentReader) readVerified(a *archive.Archive, path string, sum archive.Sum) (*document, error) {
	f, err := a.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("index message: %w", err)
	}
	defer f.Close()
	h := archive.NewHasher()
	d, err := r.read(io.TeeReader(f, h), false)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", path, err)
	}
	if h.Sum() != sum {
		return nil, fmt.Errorf("index %s: %w", path, errDamagedMessage)
	}
	return d, nil
}
