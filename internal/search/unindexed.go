package search

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"runtime"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// maxParallelReads bounds the messages that are read at a time, and so the memory: each
// may take some ten times maxTextOctets.
const maxParallelReads = 8

func parallelReads() int { return min(runtime.GOMAXPROCS(0), maxParallelReads) }

// searchArchive searches without an index: mailbox after mailbox, its messages in
// parallel. Memory grows with the largest mailbox, the different messages (some 60
// octets each) and the results.
func (s *Search) searchArchive(ctx context.Context, found *Report) error {
	return s.searchArchiveWith(ctx, newMatchCache(s.Archive, s.Query), found)
}

// searchArchiveWith is stream where some verdicts are known.
func (s *Search) searchArchiveWith(ctx context.Context, v *matchCache, found *Report) error {
	boxes, err := s.Archive.Mailboxes(s.Selection.Account)
	if err != nil {
		return err
	}
	results := map[archive.Sum]*Result{}
	narrowed := s.Selection
	narrowed.Mailbox = func(n archive.Name) bool {
		return (s.Selection.Mailbox == nil || s.Selection.Mailbox(n)) && s.Query.matchesMailbox(n)
	}
	narrowed.Match = func(b archive.MailboxDir, m *archive.Message) (bool, error) {
		return s.Query.matchesFlags(m.Flags) && s.Query.matchesDate(m.InternalDate), ctx.Err()
	}
	if narrowed, err = s.Archive.Prepare(narrowed); err != nil { // once, for each Select would
		return err
	}
	for _, b := range boxes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.Query.matchesAccount(b.Account) {
			continue
		}
		sel, err := s.Archive.Select(b, narrowed)
		if err != nil {
			found.addError(err)
			continue
		}
		if sel == nil {
			continue
		}
		if err := s.matchAll(ctx, v, b, sel.Messages, found); err != nil {
			return err
		}
		for _, m := range sel.Messages {
			if !v.isMatch(m.Sum) {
				continue
			}
			r := results[m.Sum]
			if r == nil {
				r = &Result{Sum: m.Sum, Size: m.Size}
				results[m.Sum] = r
			}
			r.Places = append(r.Places, Place{ID: b.ID(m), Account: b.Account, Mailbox: sel.Name.Mailbox, UID: m.UID,
				InternalDate: m.InternalDate, Flags: m.Flags, Gone: m.Gone})
		}
	}
	for _, r := range results {
		r.sortPlaces()
		found.Results = append(found.Results, *r)
	}
	return nil
}

// matchAll asks about messages of a mailbox in parallel.
func (s *Search) matchAll(ctx context.Context, v *matchCache, b archive.MailboxDir, messages []*archive.Message, found *Report) error {
	var g errgroup.Group
	g.SetLimit(parallelReads())
	var mu gosync.Mutex
	asked := map[archive.Sum]bool{}
	for _, m := range messages {
		if asked[m.Sum] || ctx.Err() != nil {
			continue
		}
		asked[m.Sum] = true
		g.Go(func() error {
			if _, err := v.matches(b.ID(m), m.Sum, m.Size); err != nil {
				mu.Lock()
				found.addError(err)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in found
	return ctx.Err()
}

// matchCache remember for which octets a query's terms about octets hold. Several
// goroutines may ask.
type matchCache struct {
	archive *archive.Archive
	query   *Query

	mu          gosync.Mutex
	matched     map[archive.Sum]bool
	idleReaders []documentReader // that nobody uses now
}

func newMatchCache(a *archive.Archive, q *Query) *matchCache {
	return &matchCache{archive: a, query: q, matched: map[archive.Sum]bool{}}
}

// isMatch says whether octets were asked about and the terms hold.
func (v *matchCache) isMatch(sum archive.Sum) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.matched[sum]
}

// matches says whether the terms hold for octets, which lie at path. Those that were
// asked about are not read again.
func (v *matchCache) matches(path string, sum archive.Sum, size int64) (bool, error) {
	v.mu.Lock()
	holds, ok := v.matched[sum]
	if ok {
		v.mu.Unlock()
		return holds, nil
	}
	r := documentReader{}
	if n := len(v.idleReaders); n > 0 {
		r, v.idleReaders = v.idleReaders[n-1], v.idleReaders[:n-1]
	} else {
		r = documentReader{newWordFolder()}
	}
	v.mu.Unlock()
	holds, err := v.readAndMatch(r, path, size)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.idleReaders = append(v.idleReaders, r)
	if err == nil {
		v.matched[sum] = holds
	}
	return holds, err
}

func (v *matchCache) readAndMatch(r documentReader, path string, size int64) (bool, error) {
	header, text := v.query.needs()
	if !header {
		return v.query.matchesDocument(&document{}, size), nil
	}
	f, err := v.archive.OpenFile(path)
	if err != nil {
		return false, fmt.Errorf("search message: %w", err)
	}
	defer f.Close()
	d, err := r.read(f, !text)
	if err != nil {
		return false, fmt.Errorf("search %s: %w", path, err)
	}
	return v.query.matchesDocument(d, size), nil
}

// readVerified reads the message at path for the index. The error is errDamagedMessage if its
// octets are not those of the sum: what is put back from a backup must be found.
func (r documentReader) readVerified(a *archive.Archive, path string, sum archive.Sum) (*document, error) {
	f, err := a.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("index message: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	d, err := r.read(io.TeeReader(f, h), false)
	if err != nil {
		return nil, fmt.Errorf("index %s: %w", path, err)
	}
	if !bytes.Equal(h.Sum(nil), sum[:]) {
		return nil, fmt.Errorf("index %s: %w", path, errDamagedMessage)
	}
	return d, nil
}
