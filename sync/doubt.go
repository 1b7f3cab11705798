package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	gosync "sync"

	"archiverd/archive"
	"archiverd/internal/wire"
)

// sizes is what a job has learnt of a server's RFC822.SIZE. It should be the size
// of the body (RFC 9051 6.4.5); where it is not, one of the two may be another
// message's, or the body may be cut off. Some servers, Exchange the best known,
// only estimate it: once that is clear it is no reason for doubt.
type sizes struct {
	mu    gosync.Mutex
	exact int
	odd   int // bodies of another size, whatever became of them
	wrong int // of those that were fetched again, the ones that were the same again
}

// A server only estimates sizes if so many were wrong, and more than one in
// wrongShare of those that were right; or if so many were odd, and most.
const (
	wrongSizes = 5
	wrongShare = 10
	oddSizes   = 16
)

// doubts says whether a body of that size may not be the message that m is of.
func (s *sizes) doubts(m wire.Metadata, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.HasSize && m.Size == size {
		s.exact++
		return false
	}
	estimates := s.wrong >= wrongSizes && s.wrong*wrongShare > s.exact || s.odd >= oddSizes && s.odd > s.exact
	s.odd++
	return !estimates
}

// estimated notes a size that was wrong.
func (s *sizes) estimated() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrong++
}

// doubt keeps what a body was that may be another message's: it is fetched again.
func (t *task) doubt(u uint32, body io.Reader) error {
	sum, _, err := archive.Hash(body)
	if err != nil {
		return &wire.Error{Class: wire.ClassTransient, Err: fmt.Errorf("UID %d: %w", u, err)}
	}
	if t.doubts == nil {
		t.doubts = map[uint32]archive.Sum{}
	}
	t.doubts[u] = sum
	return nil
}

// compare says, of the message that has just been received by itself, whether it
// is the one that m is of: if not by its size, then because the server has given
// or gives the same octets another time.
func (w *worker) compare(ctx context.Context, t *task, m wire.Metadata, u uint32, size int64) error {
	if !w.r.j.sizes.doubts(m, size) {
		return nil
	}
	first, ok := t.doubts[u]
	if !ok {
		err := w.c.FetchBody(ctx, u, func(_ int64, body io.Reader) (err error) {
			first, _, err = archive.Hash(body)
			return err
		})
		if err != nil {
			return err
		}
	}
	if last := w.batch.Events[w.batch.Len()-1]; last.Sum != first {
		delete(t.doubts, u)
		return &wire.Error{Class: wire.ClassMessage, Err: errors.New("the server gave other octets each time that it was fetched")}
	}
	w.r.j.sizes.estimated()
	return nil
}
