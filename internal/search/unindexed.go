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

// maxWorkers bounds the messages that are read at a time, and so the memory: each
// may take some ten times textOctets.
const maxWorkers = 8

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// stream searches without an index: mailbox after mailbox, its messages in
// parallel. Memory grows with the largest mailbox, the different messages (some 60
// octets each) and the results.
func (s *Search) stream(ctx context.Context, found *Found) error {
	return s.streamWith(ctx, newVerdicts(s.Archive, s.Query), found)
}

// streamWith is stream where some verdicts are known.
func (s *Search) streamWith(ctx context.Context, v *verdicts, found *Found) error {
	boxes, err := s.Archive.Boxes(s.Selection.Account)
	if err != nil {
		return err
	}
	results := map[archive.Sum]*Result{}
	narrowed := s.Selection
	narrowed.Mailbox = func(n archive.Name) bool {
		return (s.Selection.Mailbox == nil || s.Selection.Mailbox(n)) && s.Query.mailboxNamed(n)
	}
	narrowed.Match = func(b archive.Box, m *archive.Message) (bool, error) {
		return s.Query.flagged(m.Flags) && s.Query.dated(m.InternalDate), ctx.Err()
	}
	if narrowed, err = s.Archive.Prepare(narrowed); err != nil { // once, for each Select would
		return err
	}
	for _, b := range boxes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.Query.accountNamed(b.Account) {
			continue
		}
		sel, err := s.Archive.Select(b, narrowed)
		if err != nil {
			found.wrong(err)
			continue
		}
		if sel == nil {
			continue
		}
		if err := s.judge(ctx, v, b, sel.Messages, found); err != nil {
			return err
		}
		for _, m := range sel.Messages {
			if !v.known(m.Sum) {
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
		r.finish()
		found.Results = append(found.Results, *r)
	}
	return nil
}

// judge asks about messages of a mailbox in parallel.
func (s *Search) judge(ctx context.Context, v *verdicts, b archive.Box, messages []*archive.Message, found *Found) error {
	var g errgroup.Group
	g.SetLimit(workers())
	var mu gosync.Mutex
	asked := map[archive.Sum]bool{}
	for _, m := range messages {
		if asked[m.Sum] || ctx.Err() != nil {
			continue
		}
		asked[m.Sum] = true
		g.Go(func() error {
			if _, err := v.ask(b.ID(m), m.Sum, m.Size); err != nil {
				mu.Lock()
				found.wrong(err)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = g.Wait() // the errors are in found
	return ctx.Err()
}

// verdicts remember for which octets a query's terms about octets hold. Several
// goroutines may ask.
type verdicts struct {
	archive *archive.Archive
	query   *Query

	mu      gosync.Mutex
	of      map[archive.Sum]bool
	readers []reader // that nobody uses now
}

func newVerdicts(a *archive.Archive, q *Query) *verdicts {
	return &verdicts{archive: a, query: q, of: map[archive.Sum]bool{}}
}

// known says whether octets were asked about and the terms hold.
func (v *verdicts) known(sum archive.Sum) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.of[sum]
}

// ask says whether the terms hold for octets, which lie at path. Those that were
// asked about are not read again.
func (v *verdicts) ask(path string, sum archive.Sum, size int64) (bool, error) {
	v.mu.Lock()
	holds, ok := v.of[sum]
	if ok {
		v.mu.Unlock()
		return holds, nil
	}
	r := reader{}
	if n := len(v.readers); n > 0 {
		r, v.readers = v.readers[n-1], v.readers[:n-1]
	} else {
		r = reader{newFolder()}
	}
	v.mu.Unlock()
	holds, err := v.read(r, path, size)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.readers = append(v.readers, r)
	if err == nil {
		v.of[sum] = holds
	}
	return holds, err
}

func (v *verdicts) read(r reader, path string, size int64) (bool, error) {
	header, text := v.query.reads()
	if !header {
		return v.query.holds(&document{}, size), nil
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
	return v.query.holds(d, size), nil
}

// readWhole reads the message at path for the index. The error is errDamaged if its
// octets are not those of the sum: what is put back from a backup must be found.
func (r reader) readWhole(a *archive.Archive, path string, sum archive.Sum) (*document, error) {
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
		return nil, fmt.Errorf("index %s: %w", path, errDamaged)
	}
	return d, nil
}
