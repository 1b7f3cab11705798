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

// Up to maxFewSmall matches of a mailbox by their headers, of less than smallMessage octets,
// are downloaded all the same: that costs less than a wrong match.
const (
	maxFewSmall  = 5
	smallMessage = 16 << 10
)

// sampler chooses the matches of a run to verify by download.
type sampler struct {
	mu     gosync.Mutex
	budget float64 // under mu: octets that may be downloaded within the share
}

// sample chooses the matches to verify. Small ones are, if they are few. Of an epoch's
// first matches one is always chosen, the smallest, so that an account of many small
// mailboxes is not downloaded again for it, and two more if they are within the share, of
// all sizes and ages. The others are chosen at random, of any size that fits the share.
func (s *sampler) sample(m *mailboxRun, matches []match, share float64) (chosen uid.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	choose := func(c match) {
		chosen.Add(c.uid)
		m.tally.verifying[c.uid] = c.sum
		m.tally.verified++
	}
	if share > 0 {
		for _, c := range fewSmall(matches, maxFewSmall-m.tally.fewSmall) {
			m.tally.fewSmall++
			choose(c)
		}
	}
	for _, c := range matches {
		s.budget += share * float64(c.size)
	}
	for _, c := range bySizeAndAge(matches) {
		// A message of nothing but its header would prove nothing.
		if m.tally.verified < minVerified && c.hasBody && !chosen.Contains(c.uid) && (m.tally.verified == 0 || float64(c.size) <= s.budget) {
			choose(c)
			s.budget -= float64(c.size)
		}
	}
	for _, c := range matches {
		if !chosen.Contains(c.uid) && (share == 1 || rand.Float64() < share && float64(c.size) <= s.budget) {
			choose(c)
			s.budget -= float64(c.size)
		}
	}
	return chosen
}

// fewSmall returns the small messages that were matched by their headers, none if there are
// more than so many.
func fewSmall(matches []match, most int) (small []match) {
	for _, c := range matches {
		if c.by == matchedByHeader && c.hasBody && c.size < smallMessage {
			small = append(small, c)
		}
	}
	if len(small) > most {
		return nil
	}
	return small
}

// bySizeAndAge returns the smallest match that has a body, then others of all sizes and
// ages, and then the rest.
func bySizeAndAge(matches []match) []match {
	bySize := slices.SortedFunc(slices.Values(matches), func(x, y match) int { return cmp.Compare(x.size, y.size) })
	byAge := slices.SortedStableFunc(slices.Values(matches), func(x, y match) int { return x.date.Compare(y.date) })
	var order []match
	add := func(c match) {
		if !slices.ContainsFunc(order, func(o match) bool { return o.uid == c.uid }) {
			order = append(order, c)
		}
	}
	if i := slices.IndexFunc(bySize, func(c match) bool { return c.hasBody }); i >= 0 {
		add(bySize[i])
	}
	for _, at := range []struct {
		list  []match
		share float64
	}{{byAge, 1}, {bySize, 0.5}, {byAge, 0}, {bySize, 1}, {byAge, 0.5}, {bySize, 0.25}, {bySize, 0.75}} {
		if n := len(at.list); n > 0 {
			add(at.list[int(at.share*float64(n-1))])
		}
	}
	head := len(order)
	for _, c := range bySize {
		if !slices.ContainsFunc(order[:head], func(o match) bool { return o.uid == c.uid }) {
			order = append(order, c)
		}
	}
	return order
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
