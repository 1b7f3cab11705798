package history

import (
	"cmp"
	"slices"
	"sort"

	"archiverd/archive"
)

// When a message disappears from one mailbox and its octets arrive in another, it was
// moved. One run records both, or the next run does if the first failed halfway; what
// arrived much earlier is a copy. The end of a mailbox is recorded at the end of a run.
const (
	maxMoveAfter  = 36 * 3600 // seconds that the arrival may be recorded after the loss
	maxMoveBefore = 30 * 60   // seconds that it may be recorded before the loss
)

// arrival is an Arrival in few octets: an account may have a million.
type arrival struct {
	sum              archive.Sum
	at               int64 // Unix seconds
	mailbox          int32 // index
	uidValidity, uid uint32
	ref              int32 // the caller's
}

// moveMatcher matches losses with arrivals of the same octets. Its fields are set
// before match.
type moveMatcher struct {
	mailboxes    []archive.MailboxDir
	losses       []*Loss
	arrivals     []arrival
	anyTimeLater bool // also match arrivals that were recorded later than maxMoveAfter
}

// sameContent are the arrivals of the same octets, by time.
type sameContent struct {
	arrivals []*arrival
	// next[i] is i if arrival i is not matched yet, else the index of a later arrival;
	// all between them are matched. So whole runs of matched arrivals are skipped.
	next []int
}

// firstFree is the index of the first arrival from i on that is not matched.
func (s *sameContent) firstFree(i int) int {
	for i < len(s.next) && s.next[i] != i {
		if next := s.next[i]; next < len(s.next) {
			s.next[i] = s.next[next] // halves the path for the next search
		}
		i = s.next[i]
	}
	return i
}

// since is the index of the first arrival at that second or later.
func (s *sameContent) since(at int64) int {
	return sort.Search(len(s.arrivals), func(i int) bool { return s.arrivals[i].at >= at })
}

// match calls matched for each loss that has an arrival, with that arrival. No arrival
// is matched with two losses.
func (m *moveMatcher) match(matched func(*Loss, *arrival)) {
	bySum := m.arrivalsBySum()
	byTime := slices.Clone(m.losses)
	slices.SortStableFunc(byTime, func(x, y *Loss) int { return x.At.Compare(y.At) })
	var rest []*Loss
	for _, l := range byTime {
		before := int64(maxMoveBefore)
		if l.withMailbox {
			before = maxMoveAfter
		}
		if at := l.At.Unix(); !m.matchNearest(bySum[l.Message.Sum], l, at-before, at+maxMoveAfter, matched) {
			rest = append(rest, l)
		}
	}
	if !m.anyTimeLater {
		return
	}
	rest = slices.DeleteFunc(rest, func(l *Loss) bool { return m.matchReturned(bySum[l.Message.Sum], l, matched) })
	for _, l := range slices.Backward(rest) { // the latest loss has the fewest arrivals to choose from
		m.matchNearest(bySum[l.Message.Sum], l, l.At.Unix(), 1<<62, matched)
	}
}

// arrivalsBySum groups the arrivals that have the octets of a loss.
func (m *moveMatcher) arrivalsBySum() map[archive.Sum]*sameContent {
	bySum := map[archive.Sum]*sameContent{}
	for _, l := range m.losses {
		bySum[l.Message.Sum] = &sameContent{}
	}
	for i := range m.arrivals {
		if s := bySum[m.arrivals[i].sum]; s != nil {
			s.arrivals = append(s.arrivals, &m.arrivals[i])
		}
	}
	for _, s := range bySum {
		slices.SortStableFunc(s.arrivals, func(x, y *arrival) int { return cmp.Compare(x.at, y.at) })
		s.next = make([]int, len(s.arrivals))
		for i := range s.next {
			s.next[i] = i
		}
	}
	return bySum
}

// matchReturned matches a loss with the same message, listed by the server once more.
func (m *moveMatcher) matchReturned(s *sameContent, l *Loss, matched func(*Loss, *arrival)) bool {
	for i, n := s.firstFree(s.since(l.At.Unix())), 0; i < len(s.arrivals) && n < maxCompared; i, n = s.firstFree(i+1), n+1 {
		if to := s.arrivals[i]; m.isSameMessage(l, to) && to.at != l.Message.Added.Unix() {
			s.next[i] = i + 1
			matched(l, to)
			return true
		}
	}
	return false
}

// matchNearest matches a loss with the arrival nearest in time that is between from
// and to; of several with one in the same mailbox.
func (m *moveMatcher) matchNearest(s *sameContent, l *Loss, from, to int64, matched func(*Loss, *arrival)) bool {
	best, at := -1, l.At.Unix()
	for i, n := s.firstFree(s.since(from)), 0; i < len(s.arrivals) && s.arrivals[i].at <= to && n < maxCompared; i, n = s.firstFree(i+1), n+1 {
		if !m.mayBeMove(l, s.arrivals[i]) {
			continue
		}
		if best < 0 || cmp.Or(
			cmp.Compare(abs(s.arrivals[i].at-at), abs(s.arrivals[best].at-at)),
			cmp.Compare(m.otherMailbox(l, s.arrivals[i]), m.otherMailbox(l, s.arrivals[best]))) < 0 {
			best = i
		}
	}
	if best < 0 {
		return false
	}
	s.next[best] = best + 1
	matched(l, s.arrivals[best])
	return true
}

// mayBeMove reports whether the lost message may have become that arrival. The message
// itself is none. An arrival before the loss must be in another mailbox, and nearer to
// the loss than to the arrival of the lost message: two messages that arrived together
// are a message and its copy.
func (m *moveMatcher) mayBeMove(l *Loss, to *arrival) bool {
	if to.at >= l.At.Unix() {
		return !m.isSameMessage(l, to)
	}
	return m.otherMailbox(l, to) == 1 && to.at-l.Message.Added.Unix() >= l.At.Unix()-to.at
}

// isSameMessage reports whether the arrival is of the lost message itself.
func (m *moveMatcher) isSameMessage(l *Loss, to *arrival) bool {
	return m.otherMailbox(l, to) == 0 && to.uid == l.Message.UID && to.uidValidity == l.Message.UIDValidity
}

// otherMailbox is 0 if the arrival is in the mailbox of the loss, else 1.
func (m *moveMatcher) otherMailbox(l *Loss, to *arrival) int {
	if m.mailboxes[to.mailbox] == l.Mailbox {
		return 0
	}
	return 1
}

func abs(n int64) int64 { return max(n, -n) }
