package message

import (
	"bytes"
	"strings"
)

// The ranks of a leaf's text: the highest is what a person reads.
const (
	rankOther = 1 + iota // text/calendar and the like: shown if there is nothing else
	rankHTML
	rankPlain
)

// rank returns the rank of a leaf, 0 if it is not for reading.
func rank(mtype, disposition string) int {
	switch {
	case attached(disposition):
		return 0
	case mtype == "text/plain", mtype == "text/rfc822-headers", mtype == "message/delivery-status",
		mtype == "message/disposition-notification", strings.HasPrefix(mtype, "multipart/"):
		return rankPlain // a multipart is a leaf only if it can't be parsed
	case mtype == "text/html":
		return rankHTML
	case strings.HasPrefix(mtype, "text/"):
		return rankOther
	}
	return 0
}

// rank is the rank of a leaf by the options: with AllText all that is text counts.
func (p *parser) rank(mtype, disposition string) int {
	if !p.o.AllText {
		return rank(mtype, disposition)
	}
	if r := rank(mtype, ""); r != rankOther {
		return r
	}
	return rankPlain
}

// attached says whether a disposition is other than inline (RFC 2183 2.8).
func attached(disposition string) bool { return disposition != "" && disposition != "inline" }

// node is the readable text of a multipart, a message or a leaf.
type node struct {
	alternative bool   // multipart/alternative: one child is shown
	hidden      bool   // an attached message: not shown
	heading     string // of a message within the message
	rank        int    // of a leaf
	text        string // of a leaf
	children    []*node
}

// add adds a leaf, if there is anything in it to read.
func (n *node) add(rank int, text string) {
	if strings.TrimSpace(text) != "" {
		n.children = append(n.children, &node{rank: rank, text: lineFeeds(text)})
	}
}

// settled says whether an alternative has something better than rank already.
func (n *node) settled(rank int) bool {
	if n.alternative {
		for _, c := range n.children {
			if c.rank > rank {
				return true
			}
		}
	}
	return false
}

// compose returns the text below a node and the highest rank of what is in it.
// The tree is no deeper than Options.Depth.
func (n *node) compose() (string, int) {
	if n.hidden {
		return "", 0
	}
	if n.children == nil && n.heading == "" {
		return n.text, n.rank
	}
	best := 0
	var all, others []string
	for _, c := range n.children {
		text, rank := c.compose()
		switch {
		case text == "":
			continue
		case n.alternative && rank > best:
			all = []string{text}
		case n.alternative:
			continue
		case rank == rankOther:
			others = append(others, text)
		default:
			all = append(all, text)
		}
		best = max(best, rank)
	}
	if len(all) == 0 {
		all = others
	}
	if n.heading != "" {
		all = append([]string{n.heading}, all...)
		best = max(best, rankHTML)
	}
	return strings.Join(all, "\n"), best
}

// text returns the readable text of the whole message.
func (p *parser) text() string {
	s, _ := p.stack[0].node.compose()
	if len(s) > p.o.TextOctets {
		p.problem("text of more than %d octets: the rest of it is left out", p.o.TextOctets)
		s = cutUTF8(s, p.o.TextOctets)
	}
	return s
}

// heading returns the fields shown above the text of a message within the message.
func (p *parser) heading(h *header) string {
	var b strings.Builder
	for _, f := range p.decoded(&header{fields: h.named("From", "To", "Cc", "Date", "Subject")}) {
		line := f.Name + ": " + f.Value + "\n"
		if len(line) <= p.room {
			b.WriteString(line)
			p.room -= len(line)
		}
	}
	return b.String()
}

// keepText keeps the text of a leaf that ended.
func (p *parser) keepText(l *leaf) {
	if !l.keep {
		return
	}
	text := l.text
	if l.more {
		p.problem("part %d: text of more than %d octets in all: the rest of it is left out", l.part+1, p.o.TextOctets)
		if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
			text = text[:i+1] // and no half character
		}
	}
	p.room -= len(l.text)
	part := p.m.Parts[l.part]
	charset := part.Charset
	if l.rank == rankHTML && charset == "" {
		charset = metaCharset(text)
	}
	s, known, clean := toUTF8(text, charset)
	switch {
	case !known:
		p.problem("part %d: unknown charset %s: 8-bit octets are read as Windows-1252", l.part+1, quote(charset))
	case !clean && charset == "":
		p.problem("part %d: no charset: octets that are not UTF-8 are read as Windows-1252", l.part+1)
	case !clean:
		p.problem("part %d: not all of it is %s: other octets are read as Windows-1252", l.part+1, quote(charset))
	}
	if l.rank == rankHTML {
		s = renderHTML(s, p.o.TextOctets)
	}
	l.node.add(l.rank, s)
}

// keepPreamble keeps the text of a multipart that has no part.
func (p *parser) keepPreamble(f frame) {
	s, _ := octets(f.preamble)
	f.node.add(rankPlain, s)
}

// lineFeeds returns s with its line ends made LF and one at its end.
func lineFeeds(s string) string {
	if strings.Contains(s, "\r") {
		s = strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r", "\n").Replace(s)
	}
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}
