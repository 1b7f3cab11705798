package sync

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	gosync "sync"

	"archiverd/archive"
	"archiverd/internal/uid"
)

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
