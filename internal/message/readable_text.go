package message

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// The ranks of a leaf's text: in an alternative the highest is what a person
// reads.
const (
	rankOther = 1 + iota // text/rtf and the like: shown if there is nothing else
	rankHTML
	rankPlain
	rankBest // the PreferHTML, where it is asked for
)

// rank returns the rank of a leaf, 0 if it is not for reading.
func rank(mtype, disposition string) int {
	switch {
	case isAttached(disposition):
		return 0
	case mtype == "text/plain", mtype == "text/rfc822-headers", mtype == "message/global-headers",
		isReport(mtype), strings.HasPrefix(mtype, "multipart/"):
		return rankPlain // a multipart is a leaf only if it can't be parsed
	case mtype == "text/html":
		return rankHTML
	case strings.HasPrefix(mtype, "text/"):
		return rankOther
	}
	return 0
}

// rank is the rank of a leaf by the options: with AllText all text is for reading.
func (p *parser) rank(mtype string, part Part) int {
	if p.options.AllText {
		r := rank(mtype, "")
		if r == rankOther {
			r = rankPlain
		}
		return r
	}
	r := rank(mtype, part.Disposition)
	if r == rankHTML && p.options.PreferHTML {
		return rankBest
	}
	return r
}

// isReport says whether a media type is that of fields for programs that people
// can read: what was delivered or read (RFC 3464, 8098), or is abuse (RFC 5965).
func isReport(mtype string) bool {
	switch mtype {
	case "message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
		"message/global-disposition-notification", "message/feedback-report", "message/tracking-status":
		return true
	}
	return false
}

// isAttached says whether a disposition is other than inline (RFC 2183 2.8).
func isAttached(disposition string) bool { return disposition != "" && disposition != "inline" }

// node is a multipart, a message or a leaf, for its readable text.
type node struct {
	isAlternative bool   // multipart/alternative: one child is shown
	marksParts    bool   // where a child stands says something to the reader
	isMessage     bool   // a message within the message
	heading       string // of it
	partNumber    int    // Part.Number of a message or a leaf
	readable      bool   // a leaf whose type is for reading
	alwaysShown   bool   // a leaf that is shown whatever else is
	text          string // of a leaf
	rank          int    // of that text; of others the highest below, once best has been asked
	children      []*node
}

// newNode adds a multipart.
func newNode(mtype string, parent *node) *node {
	n := &node{isAlternative: mtype == "multipart/alternative"}
	switch mtype {
	case "multipart/alternative", "multipart/related", "multipart/signed", "multipart/encrypted":
	default:
		n.marksParts = true // RFC 2046 5.1.3: unknown ones are mixed
	}
	parent.children = append(parent.children, n)
	return n
}

// setText sets the text of a leaf, if there is anything in it to read.
func (n *node) setText(rank int, text string) {
	if strings.TrimSpace(text) != "" {
		n.rank, n.text = rank, normalizeLineEnds(text)
	}
}

// hasBetter says whether an alternative has something better than rank already.
func (n *node) hasBetter(rank int) bool {
	if n.isAlternative {
		for _, c := range n.children {
			if c.rank > rank {
				return true
			}
		}
	}
	return false
}

// computeRank returns the highest rank of what is shown below a node, and keeps it. The
// tree is little deeper than Options.Depth.
func (n *node) computeRank() int {
	for _, c := range n.children {
		n.rank = max(n.rank, c.computeRank())
	}
	if n.isMessage {
		n.rank = max(n.rank, rankHTML)
	}
	return n.rank
}

// textWriter is the readable text on its way.
type textWriter struct {
	strings.Builder
	parts []Part
}

// paragraph writes a text, with an empty line before it.
func (w *textWriter) paragraph(s string) {
	if w.Len() > 0 {
		w.WriteByte('\n')
	}
	w.WriteString(s)
}

// partMark writes the line that stands for a part.
func (w *textWriter) partMark(n int) {
	part := w.parts[n-1]
	name := part.Name
	if name == "" {
		name = part.Type
	}
	w.paragraph(fmt.Sprintf("[part %d: %s, %s]\n", n, name, humanize.IBytes(uint64(part.Size))))
}

// write writes the text below a node, of which best has been asked; with places
// a line for each part that is not shown, too.
func (n *node) write(w *textWriter, places bool) {
	switch {
	case n.isMessage:
		if places {
			w.partMark(n.partNumber)
		}
		if n.heading != "" {
			w.paragraph(n.heading)
		}
		for _, c := range n.children {
			c.write(w, places)
		}
		if places {
			w.paragraph(fmt.Sprintf("[end of part %d]\n", n.partNumber))
		}
	case n.partNumber != 0:
		if n.text != "" {
			w.paragraph(n.text)
		} else if places && !n.readable {
			w.partMark(n.partNumber)
		}
	case n.isAlternative:
		n.writeChosen(w, places)
	default:
		for _, c := range n.children {
			if c.rank == rankOther && n.rank > rankOther && !c.alwaysShown {
				c.text, c.readable = "", false // something else is there to read
			}
			c.write(w, places && n.marksParts)
		}
	}
}

// writeChosen writes the last of the children with the highest rank
// (RFC 2046 5.1.4), and what is shown beside it.
func (n *node) writeChosen(w *textWriter, places bool) {
	chosen := -1
	for i, c := range n.children {
		if c.rank == n.rank {
			chosen = i
		}
	}
	for i, c := range n.children {
		if i == chosen || c.alwaysShown {
			c.write(w, places)
		}
	}
}

// readableText returns the readable text of the whole message.
func (p *parser) readableText() string {
	w := &textWriter{parts: p.message.Parts}
	root := p.stack[0].node
	root.computeRank()
	root.write(w, p.options.MarkParts)
	s := w.String()
	if len(s) > p.options.MaxTextOctets {
		p.addProblem("text of more than %d octets: the rest of it is left out", p.options.MaxTextOctets)
		s = cutUTF8(s, p.options.MaxTextOctets)
	}
	return s
}

// heading returns the fields shown above the text of a message within the message.
func (p *parser) heading(h *header) string {
	var b strings.Builder
	for _, f := range p.decodeFields(&header{fields: h.firstNamed("From", "To", "Cc", "Date", "Subject")}) {
		line := f.Name + ": " + collapseSpace(f.Value) + "\n"
		if len(line) <= p.textRoom {
			b.WriteString(line)
			p.textRoom -= len(line)
		}
	}
	return b.String()
}

// storeText keeps the text of a leaf that ended.
func (p *parser) storeText(l *leaf) {
	if !l.keepText {
		return
	}
	text := l.text
	if l.truncated {
		p.addProblem("part %d: text of more than %d octets in all: the rest of it is left out", l.partIndex+1, p.options.MaxTextOctets)
		if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
			text = text[:i+1] // and no half character
		}
	}
	p.textRoom -= len(l.text)
	part := p.message.Parts[l.partIndex]
	charset := part.Charset
	if l.isHTML() && charset == "" {
		charset = metaCharset(text)
	}
	s, known, clean := toUTF8(text, charset, p.charsetHint)
	switch {
	case !known:
		p.addProblem("part %d: unknown charset %s", l.partIndex+1, quote(charset))
	case !clean && charsetName(charset) == "":
		p.addProblem("part %d: no charset, and not UTF-8: its octets are read as %s", l.partIndex+1, p.fallbackCharset())
	case !clean:
		p.addProblem("part %d: not all of it is %s: other octets are read as %s", l.partIndex+1, quote(charset), p.fallbackCharset())
	}
	l.node.setText(l.rank, p.render(l, part, s))
}

// fallbackCharset names the charset of octets that have none.
func (p *parser) fallbackCharset() string {
	if p.charsetHint != "" {
		return quote(p.charsetHint)
	}
	return "Windows-1252"
}

func (l *leaf) isHTML() bool { return l.rank == rankHTML || l.rank == rankBest }

// render makes the text of a leaf readable.
func (p *parser) render(l *leaf, part Part, s string) string {
	switch {
	case l.isHTML():
		text, hidden := renderHTML(s, p.options.MaxTextOctets)
		if hidden > 0 {
			p.addProblem("part %d: the HTML has %d characters of text that mail programs hide: left out", l.partIndex+1, hidden)
		}
		return text
	case part.Type == calendarType:
		if text := renderCalendar(s); text != "" {
			l.node.alwaysShown = true
			return text
		}
	case part.Type == "text/rfc822-headers", part.Type == "message/global-headers":
		if text := renderHeader(s); text != "" {
			return text
		}
	case l.flowed.isFlowed:
		return l.flowed.unfold(s)
	}
	return s
}

// renderHeader returns the fields of a header that are shown of a message within
// the message, empty if there are none.
func renderHeader(s string) string {
	var b strings.Builder
	if m, err := ReadHeader(strings.NewReader(s), Options{}); err == nil {
		for _, name := range []string{"From", "To", "Cc", "Date", "Subject", "Message-ID"} {
			if v := m.Get(name); v != "" {
				b.WriteString(name + ": " + collapseSpace(v) + "\n")
			}
		}
	}
	return b.String()
}

// collapseSpace makes of a value, in which an encoded word can bring any character, one
// that can't be taken for two fields.
func collapseSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

// storePreamble keeps the text of a multipart that has no part.
func (p *parser) storePreamble(f frame) {
	s, _, _ := toUTF8(f.preamble, "", p.charsetHint)
	n := &node{partNumber: -1, readable: true}
	n.setText(rankPlain, s)
	f.node.children = append(f.node.children, n)
}

// normalizeLineEnds returns s with its line ends made LF and one at its end.
func normalizeLineEnds(s string) string {
	if strings.Contains(s, "\r") {
		s = strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r", "\n").Replace(s)
	}
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}
