package wire

import (
	"bytes"
	"cmp"
	"slices"

	"archiverd/internal/uid"
)

// maxRanges bounds the memory of a search result: mailboxes have some thousand ranges,
// those with millions of messages too.
const maxRanges = 2_000_000

// searchResult gathers the ranges of SEARCH and ESEARCH replies.
type searchResult struct {
	octetsLeft int  // octets of results that the server may still send
	received   bool // a result came, perhaps an empty one
	ranges     []uid.Range
}

func (f *searchResult) handleUntagged(u untagged) (bool, error) {
	if f.octetsLeft -= len(u.rest); f.octetsLeft < 0 {
		return true, protocolError("search result: %w", ErrLimit)
	}
	switch {
	case u.is("SEARCH"):
		f.received = true
		for rest := u.rest; ; {
			var w []byte
			if w, rest = word(rest); len(w) == 0 {
				if len(rest) > 0 && !bytes.HasPrefix(bytes.ToUpper(rest), []byte("(MODSEQ ")) { // RFC 7162 3.1.5
					return true, protocolError("unreadable search result")
				}
				return true, nil
			}
			if err := f.addRange(w); err != nil {
				return true, err
			}
		}
	case u.is("ESEARCH"):
		f.received = true
		return true, f.parseESearch(u.rest)
	}
	return false, nil
}

// parseESearch reads "(TAG "X1") UID ALL 1:5,7" (RFC 4731 3.1). Without ALL the result
// is empty.
func (f *searchResult) parseESearch(rest []byte) error {
	c := cursor{rest}
	isUID := false
	for {
		c.space()
		if len(c.b) == 0 {
			return nil
		}
		v := c.value()
		switch {
		case v.kind == list:
			continue
		case v.kind == atom && isKey(v.octets, "UID"):
			isUID = true
			continue
		}
		argument := c.value()
		if v.kind != atom || argument.kind == none {
			return protocolError("unreadable search result")
		}
		if !isKey(v.octets, "ALL") {
			continue
		}
		if !isUID || argument.kind != atom {
			return protocolError("search result holds no UIDs")
		}
		for part := range bytes.SplitSeq(argument.octets, []byte{','}) {
			if err := f.addRange(part); err != nil {
				return err
			}
		}
	}
}

// addRange reads "5" or "5:9".
func (f *searchResult) addRange(part []byte) error {
	a, b, ranged := bytes.Cut(part, []byte{':'})
	first, ok := number(a)
	last := first
	if ok && ranged {
		last, ok = number(b)
	}
	if !ok || first == 0 || last == 0 || first > 1<<32-1 || last > 1<<32-1 {
		return protocolError("search result holds what is no UID")
	}
	if first > last {
		first, last = last, first
	}
	r := uid.Range{First: uint32(first), Last: uint32(last)}
	if n := len(f.ranges); n > 0 && f.ranges[n-1].Last < r.First && r.First-f.ranges[n-1].Last == 1 {
		f.ranges[n-1].Last = r.Last
		return nil
	}
	if len(f.ranges) == maxRanges {
		return protocolError("search result of over %d ranges of UIDs: %w", maxRanges, ErrLimit)
	}
	f.ranges = append(f.ranges, r)
	return nil
}

// set returns the UIDs found. The ranges are sorted first: adding millions of them in a
// hostile server's order would take quadratic time.
func (f *searchResult) set() uid.Set {
	byFirst := func(a, b uid.Range) int { return cmp.Compare(a.First, b.First) }
	if !slices.IsSortedFunc(f.ranges, byFirst) {
		slices.SortFunc(f.ranges, byFirst)
	}
	var s uid.Set
	for _, r := range f.ranges {
		s.AddRange(r.First, r.Last)
	}
	return s
}
