package sync

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"archiverd/archive"
	"archiverd/internal/uid"
	"archiverd/state"
)

// Matching says what becomes of messages that the archive seems to have already.
type Matching struct {
	Off bool // they are downloaded like all others
	// Check is the share of them, 0 to 1, by number and octets, that is downloaded
	// all the same and compared. 0: 1 in 200; negative: none but the first of each
	// epoch.
	Check float64
}

// share is how many of the matches are compared.
func (m Matching) share() float64 {
	if m.Check == 0 {
		return 1.0 / 200
	}
	return max(0, min(m.Check, 1))
}

// firstChecks is how many matches of an epoch are compared before others are left
// to chance.
const firstChecks = 3

// sample chooses the matches to compare. Of an epoch's first, one is always among
// them, and two more if they are within the share: the smallest, so that an
// account of many small mailboxes is not downloaded again for it. The others are
// left to chance, of any size that the share leaves room for.
func (r *round) sample(b *box, matches []match) (checks uid.Set) {
	share := r.j.Policy.Matching.share()
	r.mu.Lock()
	defer r.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	take := func(m match) {
		checks.Add(m.uid)
		b.checks[m.uid] = m.sum
		b.compared++
		r.spare -= float64(m.size)
	}
	bySize := slices.SortedFunc(slices.Values(matches), func(x, y match) int { return cmp.Compare(x.size, y.size) })
	for _, m := range bySize {
		r.spare += share * float64(m.size)
	}
	for _, m := range bySize {
		// A message of nothing but its header would be no proof.
		if b.compared < firstChecks && m.body && (b.compared == 0 || float64(m.size) <= r.spare) {
			take(m)
		}
	}
	for _, m := range matches {
		if !checks.Contains(m.uid) && (share == 1 || rand.Float64() < share && float64(m.size) <= r.spare) {
			take(m)
		}
	}
	return checks
}

// judge looks at a message that was received. If it is not the one that it
// seemed to be, then no message of the mailbox may be taken for known: what seemed
// to be is surveyed again, and downloaded.
func (b *box) judge(e *archive.Event) {
	if e.Expected == (archive.Sum{}) || e.Expected == e.Sum {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.doubt {
		b.warnings = append(b.warnings, fmt.Sprintf("mailbox %q: UID %d has size, INTERNALDATE and header (or EMAILID) of an archived message, and other octets. "+
			"Until UIDVALIDITY changes nothing in this mailbox is matched, and what was is downloaded", b.name.Mailbox, e.UID))
	}
	b.doubt, b.again = true, true
}

// inDoubt says whether a message of the epoch was not the one that it seemed to be.
func (b *box) inDoubt() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.doubt
}

// doubtful are the messages of a mailbox in doubt that were matched, and are
// still not downloaded.
func (b *box) doubtful() (set uid.Set, err error) {
	view, _, err := b.r.j.Committer.Archive.Fold(b.place)
	if err != nil {
		return set, err
	}
	ep := view.Epoch()
	if ep == nil || ep.UIDValidity != b.uidValidity {
		return set, nil
	}
	for _, u := range slices.Sorted(maps.Keys(ep.Messages)) {
		if m := ep.Messages[u]; m.Listed() && (m.Matched == byHeader || m.Matched == byEmailID) {
			set.Add(u)
		}
	}
	return set, nil
}

// trust stores, for a survey, what is known of how far matches can be trusted.
func (b *box) trust(info state.Mailbox) {
	b.checks, b.compared, b.doubt = map[uint32]archive.Sum{}, info.Verified, info.Mistrusted
}
