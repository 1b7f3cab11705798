package wire

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"archiverd/internal/uid"
)

// Search returns the UIDs of all messages of the mailbox that is open (RFC 9051
// 6.4.4, RFC 4731). An incomplete or unreadable answer is an error: a UID that
// is not in the set is taken to be gone.
func (c *Conn) Search(ctx context.Context) (uid.Set, error) {
	cmd := command{name: cmdSearch, answerWait: c.options.Timeouts.Answer, onNO: ClassMailbox, onBAD: ClassProtocol}
	return c.search(ctx, cmd, []string{c.searchCommand() + " ALL"})
}

// searchCommand is how a search begins.
func (c *Conn) searchCommand() string {
	if c.HasCapability("ESEARCH") {
		return "UID SEARCH RETURN (ALL)"
	}
	return "UID SEARCH"
}

// search runs one search, sent in parts.
func (c *Conn) search(ctx context.Context, cmd command, parts []string) (uid.Set, error) {
	f := searchResult{octetsLeft: c.options.Limits.Search}
	var set uid.Set
	err := c.exclusive(ctx, cmd, func() error {
		c.in.allowLongSearch = true
		defer func() { c.in.allowLongSearch = false }()
		answer, err := c.exchangeParts(parts, f.handleUntagged)
		if err == nil {
			set, err = c.searchedUIDs(&f, answer, cmd)
		}
		return err
	})
	return set, err
}

// searchedUIDs is what a search found, if its answer is to be believed.
func (c *Conn) searchedUIDs(f *searchResult, answer status, cmd command) (uid.Set, error) {
	err := c.checkComplete(answer, cmd)
	if err == nil && !f.received {
		err = protocolError("server said OK without a search result")
	}
	if err != nil {
		return uid.Set{}, err
	}
	return f.set(), nil
}

// checkComplete is refusal, and an error also for an OK that covers only some of the
// messages (RFC 9738).
func (c *Conn) checkComplete(s status, cmd command) error {
	if err := c.refusal(s, cmd); err != nil {
		return err
	}
	if s.code == "MESSAGELIMIT" {
		return protocolError("server leaves out messages beyond its limit [MESSAGELIMIT %s]", c.server.sanitize(s.args))
	}
	return nil
}

// searchResult gathers the ranges of SEARCH and ESEARCH replies.
type searchResult struct {
	octetsLeft int // octets that may still come
	received   bool
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

// parseESearch reads "(TAG "X1") UID ALL 1:5,7" (RFC 4731 3.1). Without ALL there is nothing.
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

// addRange takes "5" or "5:9".
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
	f.ranges = append(f.ranges, r)
	return nil
}

// set is what was gathered. Sorted first: adding in any order would take a
// hostile server's millions in quadratic time.
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
