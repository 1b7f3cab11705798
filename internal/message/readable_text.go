package message

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
)

// The ranks of a leaf's text. Of the parts of a multipart/alternative, one with the
// highest rank is shown.
const (
	rankOther = 1 + iota // text/rtf and other types: shown if there is nothing else
	rankHTML
	rankPlain
	rankBest // the HTML, with Options.PreferHTML
)

// rank returns the rank of a leaf, 0 if it is not readable text.
func rank(mtype, disposition string) int {
	switch {
	case isAttached(disposition):
		return 0
	case mtype == "text/plain", mtype == "text/rfc822-headers", mtype == "message/global-headers",
		isReport(mtype), strings.HasPrefix(mtype, "multipart/"):
		return rankPlain // a multipart is a leaf only if it is nested too deeply
	case mtype == "text/html":
		return rankHTML
	case strings.HasPrefix(mtype, "text/"):
		return rankOther
	}
	return 0
}

// rank returns the rank of a leaf with the parser's options.
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

// isReport reports whether a media type is a readable report: of delivery or reading
// (RFC 3464, 8098), or of abuse (RFC 5965).
func isReport(mtype string) bool {
	switch mtype {
	case "message/delivery-status", "message/global-delivery-status", "message/disposition-notification",
		"message/global-disposition-notification", "message/feedback-report", "message/tracking-status":
		return true
	}
	return false
}

// isAttached reports whether a disposition is another than inline (RFC 2183 2.8).
func isAttached(disposition string) bool { return disposition != "" && disposition != "inline" }

// node is the readable text of a multipart, a message or a leaf.
type node struct {
	isAlternative bool   // multipart/alternative: only one child is shown
	marksParts    bool   // omitted children are marked in the text
	isMessage     bool   // a message within the message
	heading       string // header fields of that message
	partNumber    int    // Part.Number of a message or leaf; -1 for a preamble
	readable      bool   // a leaf with a rank
	alwaysShown   bool   // a leaf that is shown beside the chosen one
	text          string // text of a leaf
	rank          int    // of that text; for other nodes, the highest below, after computeRank
	children      []*node
}

// newNode adds a multipart to its parent.
func newNode(mtype string, parent *node) *node {
	n := &node{isAlternative: mtype == "multipart/alternative"}
	switch mtype {
	case "multipart/alternative", "multipart/related", "multipart/signed", "multipart/encrypted":
	default:
		n.marksParts = true // RFC 2046 5.1.3: unknown subtypes are like mixed
	}
	parent.children = append(parent.children, n)
	return n
}

// setText sets the text of a leaf, unless it is blank.
func (n *node) setText(rank int, text string) {
	if strings.TrimSpace(text) != "" {
		n.rank, n.text = rank, normalizeLineEnds(text)
	}
}

// hasBetter reports whether an alternative has a child with a higher rank.
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

// computeRank sets and returns the highest rank below a node. It recurses: the tree is
// hardly deeper than Options.MaxDepth.
func (n *node) computeRank() int {
	for _, c := range n.children {
		n.rank = max(n.rank, c.computeRank())
	}
	if n.isMessage {
		n.rank = max(n.rank, rankHTML)
	}
	return n.rank
}

// textWriter builds the readable text.
type textWriter struct {
	strings.Builder
	parts []Part
}

// paragraph writes a text after an empty line.
func (w *textWriter) paragraph(s string) {
	if w.Len() > 0 {
		w.WriteByte('\n')
	}
	w.WriteString(s)
}

// partMark writes the line that marks a part.
func (w *textWriter) partMark(n int) {
	part := w.parts[n-1]
	name := part.Name
	if name == "" {
		name = part.Type
	}
	w.paragraph(fmt.Sprintf("[part %d: %s, %s]\n", n, name, humanize.IBytes(uint64(part.Size))))
}

// write writes the text below a node, after computeRank. With places it marks each part
// that is not shown.
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
				c.text, c.readable = "", false // there is better text
			}
			c.write(w, places && n.marksParts)
		}
	}
}

// writeChosen writes the last child with the highest rank (RFC 2046 5.1.4), and the
// children that are always shown.
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

// readableText returns the text of the whole message.
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

// storeText stores the readable text of a leaf that ended.
func (p *parser) storeText(l *leaf) {
	if !l.keepText {
		return
	}
	text := l.text
	if l.truncated {
		p.addProblem("part %d: text of more than %d octets in all: the rest of it is left out", l.partIndex+1, p.options.MaxTextOctets)
		if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
			text = text[:i+1] // without a partial character
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

// fallbackCharset returns the charset that toUTF8 uses for octets without one, for a
// problem.
func (p *parser) fallbackCharset() string {
	if p.charsetHint != "" {
		return quote(p.charsetHint)
	}
	return "Windows-1252"
}

// isHTML reports whether the leaf is readable HTML.
func (l *leaf) isHTML() bool { return l.rank == rankHTML || l.rank == rankBest }

// render converts the text of a leaf to readable text.
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

// renderHeader returns the fields of a text/rfc822-headers that are shown, "" if there
// are none.
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

// collapseSpace replaces each run of white space by one space. An encoded word can
// contain a line end, which would make one field look like two.
func collapseSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

// storePreamble stores the text of a multipart without parts.
func (p *parser) storePreamble(f frame) {
	s, _, _ := toUTF8(f.preamble, "", p.charsetHint)
	n := &node{partNumber: -1, readable: true}
	n.setText(rankPlain, s)
	f.node.children = append(f.node.children, n)
}

// normalizeLineEnds returns s with LF as line ends, and one at its end.
func normalizeLineEnds(s string) string {
	if strings.Contains(s, "\r") {
		s = strings.NewReplacer("\r\r\n", "\n", "\r\n", "\n", "\r", "\n").Replace(s)
	}
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}
