package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	gosync "sync"

	"archiverd/archive"
	"archiverd/internal/uid"
	"archiverd/internal/wire"
)

// sizeTrust is what a job has learnt about a server's RFC822.SIZE. It should be the size
// of the body (RFC 9051 6.4.5); where it is not, one of the two may be another
// message's, or the body may be cut off. Some servers, Exchange among them, only
// estimate it: once that is clear a difference means nothing.
type sizeTrust struct {
	mu        gosync.Mutex // guards all below
	exact     int          // bodies of the size reported
	different int          // bodies of another size, whatever became of them
	estimated int          // of these, bodies that were downloaded again and were the same
}

// A server is taken to estimate sizes if minEstimated sizes were, and more than one in
// estimatedShare of the exact ones; or if minDifferent bodies had another size, and most
// of all did.
const (
	minEstimated   = 5
	estimatedShare = 10
	minDifferent   = 16
)

// accept reports whether a body of that size can be taken for the message that md is
// of. If not, it is to be confirmed.
func (s *sizeTrust) accept(md wire.Metadata, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if md.HasSize && md.Size == size {
		s.exact++
		return true
	}
	isEstimate := s.estimated >= minEstimated && s.estimated*estimatedShare > s.exact || s.different >= minDifferent && s.different > s.exact
	s.different++
	return isEstimate
}

// addEstimated counts a size that was only an estimate.
func (s *sizeTrust) addEstimated() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.estimated++
}

// addUnconfirmed keeps the sum of a body that may be another message's: the message is
// downloaded again.
func (t *task) addUnconfirmed(u uint32, body io.Reader) error {
	sum, _, err := archive.Hash(body)
	if err != nil {
		return &wire.Error{Class: wire.ClassTransient, Err: fmt.Errorf("UID %d: %w", u, err)}
	}
	if t.unconfirmed == nil {
		t.unconfirmed = map[uint32]archive.Sum{}
	}
	t.unconfirmed[u] = sum
	return nil
}

// confirm checks that the message just received by itself is the one that md is of: by
// its size, or because the server sends the same octets in another download.
func (w *worker) confirm(ctx context.Context, t *task, md wire.Metadata, u uint32, size int64) error {
	if w.run.job.sizes.accept(md, size) {
		return nil
	}
	other, ok := t.unconfirmed[u]
	if !ok {
		err := w.conn().FetchBody(ctx, u, func(size int64, body io.Reader) (err error) {
			if err := w.checkBodySize(u, md, size); err != nil {
				return err
			}
			other, _, err = archive.Hash(body)
			return err
		})
		if err != nil {
			return err
		}
	}
	if last := w.batch.Events[w.batch.Len()-1]; last.Sum != other {
		delete(t.unconfirmed, u)
		return &wire.Error{Class: wire.ClassMessage, Err: errors.New("the server gave other octets each time that it was fetched")}
	}
	w.run.job.sizes.addEstimated()
	return nil
}

// minVerified is how many matches of an epoch are verified before the others are left
// to chance.
const minVerified = 3

// sampler chooses the matches of a run to verify by download.
type sampler struct {
	mu     gosync.Mutex
	budget float64 // under mu: octets that may be downloaded within the share
}

// sample chooses the matches to verify. Of an epoch's first matches one is always
// chosen, and two more if they are within the share: the smallest, so that an account
// of many small mailboxes is not downloaded again for it. The others are chosen at
// random, of any size that fits the share.
func (s *sampler) sample(m *mailboxRun, matches []match, share float64) (chosen uid.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	choose := func(c match) {
		chosen.Add(c.uid)
		m.tally.verifying[c.uid] = c.sum
		m.tally.verified++
		s.budget -= float64(c.size)
	}
	bySize := slices.SortedFunc(slices.Values(matches), func(x, y match) int { return cmp.Compare(x.size, y.size) })
	for _, c := range bySize {
		s.budget += share * float64(c.size)
	}
	for _, c := range bySize {
		// A message of nothing but its header would prove nothing.
		if m.tally.verified < minVerified && c.hasBody && (m.tally.verified == 0 || float64(c.size) <= s.budget) {
			choose(c)
		}
	}
	for _, c := range matches {
		if !chosen.Contains(c.uid) && (share == 1 || rand.Float64() < share && float64(c.size) <= s.budget) {
			choose(c)
		}
	}
	return chosen
}

// verifyReceived compares a received message with the one that it was expected to
// match. If they differ, no message of the mailbox is matched any more, and those that
// were are downloaded after another scan.
func (m *mailboxRun) verifyReceived(e *archive.Event) {
	if e.Expected == (archive.Sum{}) || e.Expected == e.Sum {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.tally.mistrusted {
		m.tally.warnings = append(m.tally.warnings, fmt.Sprintf("mailbox %q: UID %d has size, INTERNALDATE and header (or EMAILID) of an archived message, and other octets. "+
			"Until UIDVALIDITY changes nothing in this mailbox is matched, and what was is downloaded", m.name.Mailbox, e.UID))
	}
	m.tally.mistrusted, m.tally.rescan = true, true
}

// isMistrusted reports whether a match of the epoch turned out to be another message.
func (m *mailboxRun) isMistrusted() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tally.mistrusted
}

// unverifiedMatches returns the messages of an epoch that were matched and have not
// been downloaded since.
func unverifiedMatches(a *archive.Archive, dir archive.MailboxDir, uidValidity uint32) (uids uid.Set, err error) {
	view, _, err := a.Fold(dir)
	if err != nil {
		return uids, err
	}
	epoch := view.Epoch()
	if epoch == nil || epoch.UIDValidity != uidValidity {
		return uids, nil
	}
	for _, u := range slices.Sorted(maps.Keys(epoch.Messages)) {
		if msg := epoch.Messages[u]; msg.Listed() && (msg.Matched == matchedByHeader || msg.Matched == matchedByEmailID) {
			uids.Add(u)
		}
	}
	return uids, nil
}
