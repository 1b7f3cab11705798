package imapd

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Search handles SEARCH and its ESEARCH form (RFC 9051 6.4.4). TEXT and BODY search
// the octets of the message without decoding them.
func (s *session) Search(kind imapserver.NumKind, c *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	v, err := s.selected()
	if err != nil {
		return nil, err
	}
	data := &imap.SearchData{}
	var seqs imap.SeqSet
	var uids imap.UIDSet
	match := v.search(c)
	for _, p := range v.pick(imap.SeqSet{{Start: 1}}) { // 1:*
		ok, err := match(p)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		n := p.uid
		if kind == imapserver.NumKindSeq {
			n = p.seq
		}
		if data.Count++; data.Count == 1 {
			data.Min = n
		}
		data.Max = n
		seqs.AddNum(p.seq)
		uids.AddNum(imap.UID(p.uid))
	}
	data.All = uids
	if kind == imapserver.NumKindSeq {
		data.All = seqs
	}
	return data, nil
}

// criterion reports whether a message matches a search key. The error is of reading the
// message.
type criterion func(picked) (bool, error)

// search returns one criterion that matches if all of c match. Those that read the
// message are evaluated last.
func (v *view) search(c *imap.SearchCriteria) criterion {
	all := []criterion{v.searchState(c)}
	if len(c.Header) > 0 || !c.SentSince.IsZero() || !c.SentBefore.IsZero() {
		all = append(all, func(p picked) (bool, error) { return inHeader(p.reader(), c) })
	}
	for _, text := range c.Text {
		all = append(all, contains(imap.PartSpecifierNone, text))
	}
	for _, text := range c.Body {
		all = append(all, contains(imap.PartSpecifierText, text))
	}
	for _, not := range c.Not {
		inner := v.search(&not)
		all = append(all, func(p picked) (bool, error) {
			ok, err := inner(p)
			return !ok, err
		})
	}
	for _, or := range c.Or {
		a, b := v.search(&or[0]), v.search(&or[1])
		all = append(all, func(p picked) (bool, error) {
			if ok, err := a(p); ok || err != nil {
				return ok, err
			}
			return b(p)
		})
	}
	return func(p picked) (bool, error) {
		for _, t := range all {
			if ok, err := t(p); !ok || err != nil {
				return false, err
			}
		}
		return true, nil
	}
}

// searchState is search for the criteria that need no octets of the message.
func (v *view) searchState(c *imap.SearchCriteria) criterion {
	var sets []func(seq uint32, msg *message) bool
	for _, set := range c.SeqNum {
		sets = append(sets, v.matcher(set))
	}
	for _, set := range c.UID {
		sets = append(sets, v.matcher(set))
	}
	return func(p picked) (bool, error) {
		for _, in := range sets {
			if !in(p.seq, p.message) {
				return false, nil
			}
		}
		has := func(f imap.Flag) bool { return hasFlag(p.flags, string(f)) }
		return !slices.ContainsFunc(c.Flag, func(f imap.Flag) bool { return !has(f) }) &&
			!slices.ContainsFunc(c.NotFlag, has) &&
			within(p.date, c.Since, c.Before) &&
			(c.Larger == 0 || p.size() > c.Larger) && (c.Smaller == 0 || p.size() < c.Smaller), nil
	}
}

// within reports whether t is between two days. Time of day and zone are ignored (RFC
// 9051 6.4.4, BEFORE). A zero day is no bound.
func within(t, since, before time.Time) bool {
	day := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	return (since.IsZero() || !day.Before(since)) && (before.IsZero() || day.Before(before))
}

// contains returns a criterion that matches if a section of the message has the text,
// compared without case.
func contains(part imap.PartSpecifier, text string) criterion {
	return func(p picked) (bool, error) {
		r, err := section(p.reader(), &imap.FetchItemBodySection{Specifier: part})
		if err != nil {
			return false, err
		}
		octets, err := io.ReadAll(r)
		return bytes.Contains(bytes.ToLower(octets), bytes.ToLower([]byte(text))), err
	}
}

// inHeader reports whether the header has the wanted fields and date. Field values are
// compared as they are and decoded (RFC 2047).
func inHeader(r *io.SectionReader, c *imap.SearchCriteria) (bool, error) {
	r, err := section(r, &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader})
	if err != nil {
		return false, err
	}
	// Reading ends at a line that is not a header field; the fields before it count.
	header, _ := textproto.NewReader(bufio.NewReader(r)).ReadMIMEHeader()
	for _, want := range c.Header {
		values := header.Values(want.Key)
		if !slices.ContainsFunc(values, func(v string) bool {
			decoded, err := new(mime.WordDecoder).DecodeHeader(v)
			if err != nil {
				decoded = v
			}
			return containsFold(v, want.Value) || containsFold(decoded, want.Value)
		}) {
			return false, nil
		}
	}
	if c.SentSince.IsZero() && c.SentBefore.IsZero() {
		return true, nil
	}
	sent, err := mail.ParseDate(header.Get("Date"))
	return err == nil && within(sent, c.SentSince, c.SentBefore), nil
}

func containsFold(s, part string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(part))
}
