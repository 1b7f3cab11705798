// Package uid has sets of message UIDs: 32-bit numbers, never zero, ascending and
// unique within one UIDVALIDITY of one mailbox (RFC 9051 2.3.1.1).
//
// A Set stores ranges, because the UIDs of a mailbox lie close together: a million
// messages take a few octets, and so does a server's "1:4294967295". The time of every
// method but All depends on the number of ranges, not of UIDs. A set does not know
// which UIDs exist, so that "*" is not part of its syntax.
package uid

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Range is all UIDs from First to Last, both included.
type Range struct{ First, Last uint32 }

// Set is a set of UIDs. Its zero value is the empty set. A Set must not be
// copied and then changed through both copies.
type Set struct{ r []Range }

// ErrSyntax is returned when a text is not a UID set.
var ErrSyntax = errors.New("invalid UID set")

// Of returns the set of the given UIDs, in any order. Zero is skipped.
func Of(uids ...uint32) Set {
	var s Set
	for _, u := range uids {
		s.Add(u)
	}
	return s
}

// Above returns the set of all UIDs greater than u.
func Above(u uint32) Set {
	if u == math.MaxUint32 {
		return Set{}
	}
	return Set{[]Range{{u + 1, math.MaxUint32}}}
}

// Add adds a UID to the set. It is fastest in ascending order.
func (s *Set) Add(u uint32) { s.AddRange(u, u) }

// AddRange adds all UIDs from first to last, or from last to first if that is the lower
// one (RFC 9051 9, seq-range). Zero is skipped.
func (s *Set) AddRange(first, last uint32) {
	if first > last {
		first, last = last, first
	}
	if last == 0 {
		return
	}
	first = max(first, 1)
	n := len(s.r)
	if n == 0 || first > s.r[n-1].Last && first-s.r[n-1].Last > 1 {
		s.r = append(s.r, Range{first, last})
		return
	}
	// i is the first range that overlaps the new one, touches it or lies behind it. j
	// becomes the first range behind it that does not touch it.
	i, _ := slices.BinarySearchFunc(s.r, first, func(r Range, u uint32) int {
		if uint64(r.Last)+1 < uint64(u) {
			return -1
		}
		return 1
	})
	j := i
	for j < n && uint64(s.r[j].First) <= uint64(last)+1 {
		first, last = min(first, s.r[j].First), max(last, s.r[j].Last)
		j++
	}
	s.r = slices.Replace(s.r, i, j, Range{first, last})
}

// Contains reports whether u is in the set.
func (s Set) Contains(u uint32) bool {
	_, ok := slices.BinarySearchFunc(s.r, u, func(r Range, u uint32) int {
		switch {
		case r.Last < u:
			return -1
		case r.First > u:
			return 1
		}
		return 0
	})
	return ok
}

// Len returns the number of UIDs in the set.
func (s Set) Len() int {
	n := 0
	for _, r := range s.r {
		n += int(r.Last-r.First) + 1
	}
	return n
}

// Empty reports whether the set has no UID.
func (s Set) Empty() bool { return len(s.r) == 0 }

// Max returns the highest UID of the set, 0 if it is empty.
func (s Set) Max() uint32 {
	if s.Empty() {
		return 0
	}
	return s.r[len(s.r)-1].Last
}

// Ranges yields the ranges of the set in ascending order.
func (s Set) Ranges() iter.Seq[Range] { return slices.Values(s.r) }

// All yields every UID of the set in ascending order.
func (s Set) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range s.r {
			for u := uint64(r.First); u <= uint64(r.Last); u++ {
				if !yield(uint32(u)) {
					return
				}
			}
		}
	}
}

// Subtract returns the UIDs that are in s and not in t.
func (s Set) Subtract(t Set) Set {
	var out Set
	j := 0
	for _, r := range s.r {
		first, last := uint64(r.First), uint64(r.Last)
		for j < len(t.r) && uint64(t.r[j].Last) < first {
			j++
		}
		for k := j; k < len(t.r) && uint64(t.r[k].First) <= last && first <= last; k++ {
			if uint64(t.r[k].First) > first {
				out.r = append(out.r, Range{uint32(first), t.r[k].First - 1})
			}
			first = uint64(t.r[k].Last) + 1
		}
		if first <= last {
			out.r = append(out.r, Range{uint32(first), uint32(last)})
		}
	}
	return out
}

// Intersect returns the UIDs that are in both sets.
func (s Set) Intersect(t Set) Set { return s.Subtract(s.Subtract(t)) }

// Union returns the UIDs that are in one of the sets or in both.
func (s Set) Union(t Set) Set {
	all := slices.Concat(s.r, t.r)
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	var out Set
	for _, r := range all {
		out.AddRange(r.First, r.Last)
	}
	return out
}

// Split returns the first n UIDs and the remaining ones.
func (s Set) Split(n int) (head, rest Set) {
	for i, r := range s.r {
		if size := int(r.Last-r.First) + 1; size <= n {
			n -= size
			continue
		}
		head.r = append(head.r, s.r[:i]...)
		if n > 0 {
			head.r = append(head.r, Range{r.First, r.First + uint32(n) - 1})
		}
		rest.r = append(rest.r, Range{r.First + uint32(n), r.Last})
		rest.r = append(rest.r, s.r[i+1:]...)
		return head, rest
	}
	return s, Set{}
}

// String returns the set as a sequence-set of RFC 9051 9, such as "5,9:12". The empty
// set is "".
func (s Set) String() string {
	var b []byte
	for i, r := range s.r {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(r.First), 10)
		if r.Last != r.First {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(r.Last), 10)
		}
	}
	return string(b)
}

// MarshalText returns String, the form in the journal and in JSON.
func (s Set) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Parse parses the form that String returns. Ranges may be in any order and overlap. The
// error is ErrSyntax, also for zero and "*".
func Parse(text string) (Set, error) {
	var s Set
	if text == "" {
		return s, nil
	}
	var ranges []Range
	for part := range strings.SplitSeq(text, ",") {
		a, b, ranged := strings.Cut(part, ":")
		first, err := parseUID(a)
		last := first
		if err == nil && ranged {
			last, err = parseUID(b)
		}
		if err != nil {
			return Set{}, fmt.Errorf("%w: %.40q", ErrSyntax, text)
		}
		ranges = append(ranges, Range{min(first, last), max(first, last)})
	}
	// Adding them in another order than ascending takes quadratic time.
	byFirst := func(a, b Range) int { return cmp.Compare(a.First, b.First) }
	if !slices.IsSortedFunc(ranges, byFirst) {
		slices.SortFunc(ranges, byFirst)
	}
	for _, r := range ranges {
		s.AddRange(r.First, r.Last)
	}
	return s, nil
}

// parseUID parses one UID.
func parseUID(text string) (uint32, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err == nil && n == 0 {
		err = ErrSyntax
	}
	return uint32(n), err
}
