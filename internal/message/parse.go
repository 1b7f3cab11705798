package message

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
)

// parser walks a message once, line by line. At any line it is in a header
// (head), in the octets of a leaf (leaf), or beside the parts of a multipart
// (neither). Nothing recurses: what is open stands on the stack.
type parser struct {
	options    Options
	lines      *lines
	message    *Message
	stack      []frame // the first is the message itself
	header     *header
	leaf       *leaf
	partCount  int // parts and multiparts so far
	lookaheads int // times that a header looked ahead
	textRoom   int // octets of readable text that may still be kept

	baseFrame       int               // of stack: the message that in is the octets of; 0, or an encoded one
	encodedMessages []*encodedMessage // the encoded messages that are open
	startsEncoded   bool              // the message on top of the stack is encoded: its octets are to be decoded

	charsetHint string // the first charset that the message names, beside ASCII and UTF-8
	headerOnly  bool   // read the message's header, and no more
	openPart    func(Part) (io.WriteCloser, error)
	openErr     error // of open
	lastPart    int   // the part behind which nothing is wanted; 0 to read all
	done        bool  // it has ended
}

// frame is a multipart or a message that is open.
type frame struct {
	boundary       []byte // of a multipart, empty if it names none; nil for a message
	actualBoundary []byte // the boundary that it has instead
	path           string // of its children: path.1, path.2
	isDigest       bool   // multipart/digest: its parts are messages (RFC 2046 5.1.5)
	childCount     int
	closed         bool     // its last boundary was seen
	preamble       []byte   // what comes before the first child: all there is if none comes
	node           *node    // where its readable text goes
	raw            *content // the octets of a message within the message
	partIndex      int      // its index in Parts
	rawClosed      bool     // raw has been closed by whoever decoded it
}

// leaf is a part that has no parts.
type leaf struct {
	content
	partIndex int // its index in Parts
	rank      int // of its text
	flowed    flowed
	node      *node
}

// newParser makes a parser that holds size octets of r in memory as such.
func newParser(r io.Reader, size int, o Options) *parser {
	o = o.withDefaults()
	return &parser{
		options:  o,
		lines:    newLines(r, size),
		message:  &Message{},
		stack:    []frame{{node: &node{marksParts: true}}},
		header:   &header{message: true},
		textRoom: o.MaxTextOctets,
	}
}

// run reads to the end of the message, or of the last part that is wanted.
func (p *parser) run() error {
	for !p.done {
		ln, err := p.lines.next()
		switch {
		case err == io.EOF && len(p.encodedMessages) > 0:
			err = p.leaveEncoded()
		case err == io.EOF:
			return errors.Join(p.closeFrames(0, false), p.openErr)
		case err == nil:
			err = p.handleLine(ln)
		}
		if err = cmp.Or(err, p.openErr); err != nil {
			return err
		}
		if p.startsEncoded {
			p.enterEncoded()
		}
	}
	return p.openErr
}

// handleLine takes a line, for what is open and for all messages around it.
func (p *parser) handleLine(ln line) error {
	i, last := p.boundary(ln)
	around := p.stack[p.baseFrame+1:]
	if i >= 0 {
		around = p.stack[p.baseFrame+1 : i] // to the messages around its multipart a boundary is content
	}
	if err := writeRaw(around, ln); err != nil {
		return err
	}
	return p.dispatchLine(ln, i, last)
}

// writeRaw writes a line to all messages on a stack.
func writeRaw(stack []frame, ln line) error {
	for i := range stack {
		if raw := stack[i].raw; raw != nil {
			if raw.write(ln); raw.err != nil {
				return raw.err
			}
		}
	}
	return nil
}

// boundary returns which open multipart's boundary a line is (RFC 2046 5.1.1),
// -1 if none's, and whether it is its last.
func (p *parser) boundary(ln line) (i int, last bool) {
	return findBoundary(ln, p.stack, p.baseFrame)
}

// findBoundary looks for the boundary in stack, above base.
func findBoundary(ln line, stack []frame, base int) (i int, last bool) {
	text, ok := bytes.CutPrefix(ln.text, []byte("--"))
	if !ok || !ln.first {
		return -1, false
	}
	text = bytes.TrimRight(text, " \t\r")
	for i := len(stack) - 1; i > base; i-- {
		for _, b := range [][]byte{stack[i].boundary, stack[i].actualBoundary} {
			if rest, ok := bytes.CutPrefix(text, b); len(b) > 0 && ok && (len(rest) == 0 || string(rest) == "--") {
				return i, len(rest) > 0
			}
		}
	}
	return -1, false
}

// dispatchLine takes a line, or the boundary of the multipart on the stack at i.
func (p *parser) dispatchLine(ln line, i int, last bool) error {
	switch top := &p.stack[len(p.stack)-1]; {
	case i >= 0:
		if err := p.closeFrames(i, true); err != nil {
			return err
		}
		f := &p.stack[i]
		f.closed = last
		if !last {
			f.childCount++
			p.textRoom += len(f.preamble)
			f.preamble = nil
			p.header = &header{}
		}
	case p.header != nil:
		p.headerLine(ln)
	case p.leaf != nil:
		p.leaf.write(ln)
		return p.leaf.err
	case top.boundary != nil && top.childCount == 0 && !top.closed:
		if ln, ok := p.adoptBoundary(top, ln); ok {
			return p.dispatchLine(ln, len(p.stack)-1, false)
		}
		for _, b := range [][]byte{ln.text, ln.eol} {
			b = b[:min(len(b), p.textRoom)]
			top.preamble = append(top.preamble, b...)
			p.textRoom -= len(b)
		}
	}
	return nil
}

// adoptBoundary says whether a line before the first part is the boundary of a
// multipart all the same, though that names another or none: the next line is a
// field of a part's header. The line that it returns is to be used from then on.
func (p *parser) adoptBoundary(f *frame, ln line) (line, bool) {
	text := bytes.TrimRight(ln.text, " \t\r")
	if !ln.first || len(ln.eol) == 0 || len(text) < 3 || !bytes.HasPrefix(text, []byte("--")) || f.actualBoundary != nil {
		return ln, false
	}
	f.actualBoundary = bytes.Clone(text[2:])
	ln = line{bytes.Clone(ln.text), bytes.Clone(ln.eol), true} // looking ahead spoils it
	next, _ := cutLine(p.lines.peek())
	if name, _, ok := cutField(next); !ok || !strings.HasPrefix(strings.ToLower(name), "content-") {
		f.actualBoundary = nil
		return ln, false
	}
	p.addProblem("multipart%s with another boundary than it names", atPath(f.path))
	return ln, true
}

// endHeaderBefore ends the header before a line that is the body's first.
func (p *parser) endHeaderBefore(ln line) {
	n := len(p.stack)
	p.endHeader()
	i, last := p.boundary(ln)
	if i < 0 { // the frames around have it already
		writeRaw(p.stack[n:], ln)
	}
	if p.startsEncoded && i < 0 || p.done {
		return
	}
	p.dispatchLine(ln, i, last)
}

// closeElements closes all that is open within stack[i]: at a boundary, or at the end
// of the message.
func (p *parser) closeFrames(i int, boundary bool) error {
	for p.header != nil { // one header without a body can begin a message, that is another
		p.endHeader()
	}
	p.startsEncoded = false // nothing of it came
	if p.done {
		return nil
	}
	var err error
	if p.leaf != nil {
		p.leaf.close(boundary)
		err = p.endPart(&p.leaf.content, p.leaf.partIndex)
		p.storeText(p.leaf)
		p.leaf = nil
	}
	for len(p.stack)-1 > i {
		f := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		switch {
		case f.raw != nil:
			if !f.rawClosed {
				f.raw.close(boundary)
			}
			err = cmp.Or(err, p.endPart(f.raw, f.partIndex))
		case f.childCount == 0:
			p.addProblem("multipart%s without a part: what is there is shown as text", atPath(f.path))
			p.storePreamble(f)
		case !f.closed:
			p.addProblem("multipart%s without its last boundary", atPath(f.path))
		}
	}
	return err
}

// endPart notes what is known of a part at its end.
func (p *parser) endPart(c *content, part int) error {
	p.message.Parts[part].Size = c.size
	if c.decoder.broken() {
		p.addProblem("part %d: broken transfer encoding", part+1)
	}
	p.done = p.done || part+1 == p.lastPart
	return c.err
}

// endHeader ends a header: what it says begins.
func (p *parser) endHeader() {
	h := p.header
	p.header = nil
	top := p.stack[len(p.stack)-1]
	path, childPath := sectionPath(top.path, top.childCount), sectionPath(top.path, top.childCount)
	if top.boundary == nil { // the body of a message (RFC 9051 6.4.5: a simple one has part 1)
		path, childPath = sectionPath(top.path, 1), top.path
		p.findCharsetHint(h)
		if len(p.stack) == 1 {
			p.message.Header = p.decodeFields(h)
			if p.headerOnly {
				p.done = true
				return
			}
		} else {
			top.node.heading = p.heading(h)
		}
	}
	if p.partCount++; p.partCount > p.options.MaxParts {
		p.addProblem("more than %d parts: the others are left out", p.options.MaxParts)
		return
	}
	mtype, ps := p.contentType(h, top.isDigest)
	deep := len(p.stack) > p.options.MaxDepth
	boundary := ps.boundary()
	enc := transferEncoding(h.get("Content-Transfer-Encoding"))
	if strings.HasPrefix(mtype, "multipart/") {
		if boundary == "" {
			p.addProblem("multipart%s without a boundary", atPath(childPath))
		}
		if deep {
			p.addProblem("parts deeper than %d: not looked into", p.options.MaxDepth)
		} else {
			inner := newNode(mtype, top.node)
			inner.isAlternative = inner.isAlternative && !p.options.AllText
			if mtype == "multipart/encrypted" {
				p.addProblem("encrypted: archiverd can't read what is in it")
			}
			p.stack = append(p.stack, frame{
				boundary: []byte(boundary),
				path:     childPath,
				isDigest: mtype == "multipart/digest",
				node:     inner,
			})
			return
		}
	}
	n, c := p.addPart(mtype, path, ps, h, enc)
	part := p.message.Parts[n]
	node := &node{partNumber: n + 1}
	top.node.children = append(top.node.children, node)
	if isMessage(mtype) && p.canParseMessage(deep, enc, n) {
		node.isMessage = true
		p.stack = append(p.stack, frame{path: path, node: node, raw: &c, partIndex: n})
		if p.startsEncoded = enc != ""; !p.startsEncoded {
			p.header = &header{message: true}
		} else {
			c.feed = new([]byte)
		}
		return
	}
	p.leaf = &leaf{content: c, partIndex: n, rank: p.rank(mtype, part), node: node}
	node.readable = p.leaf.rank > 0
	p.leaf.keepText = p.openPart == nil && p.leaf.rank > 0 && (mtype == calendarType || !top.node.hasBetter(p.leaf.rank))
	p.leaf.maxText = p.textRoom
	p.leaf.flowed = flowed{mtype == "text/plain" && strings.EqualFold(ps.get("format"), "flowed"), strings.EqualFold(ps.get("delsp"), "yes")}
	if mtype == "application/pkcs7-mime" || mtype == "application/x-pkcs7-mime" {
		p.addProblem("part %d: S/MIME, encrypted or signed: archiverd can't read what is in it", n+1)
	}
}
