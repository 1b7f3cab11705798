package message

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
)

// parser reads a message once, line by line. At each line it is in a header (header is
// set), in a leaf (leaf is set), or between the parts of a multipart (neither is set).
// It does not recurse: open multiparts and messages are on the stack.
type parser struct {
	options    Options
	lines      *lines
	message    *Message
	stack      []frame // open multiparts and messages; the first is the whole message
	header     *header
	leaf       *leaf
	partCount  int // number of parts and multiparts so far
	lookaheads int // number of calls of headerContinues
	textRoom   int // octets of readable text that can still be kept

	baseFrame       int               // index on stack of the message whose octets lines has: 0, or an encoded one
	encodedMessages []*encodedMessage // open encoded messages, from outer to inner
	startsEncoded   bool              // the message on top of the stack is encoded, and decoding must begin

	charsetHint string // first charset that the message names, except ASCII and UTF-8
	headerOnly  bool   // only the header of the message is read
	openPart    func(Part) (io.WriteCloser, error)
	openErr     error // error of openPart
	lastPart    int   // Part.Number after which reading stops; 0: the end of the message
	done        bool  // reading stops
}

// frame is an open multipart or message.
type frame struct {
	boundary       []byte // of a multipart; empty if it has none, nil for a message
	actualBoundary []byte // boundary that the multipart uses instead of the named one
	path           string // section of the multipart: its children are path.1, path.2
	isDigest       bool   // multipart/digest: its parts are messages (RFC 2046 5.1.5)
	childCount     int
	closed         bool     // the closing boundary was read
	preamble       []byte   // text before the first child; it is shown if there is no child
	node           *node    // its readable text
	raw            *content // octets of a message within the message; nil for multiparts and the whole message
	partIndex      int      // its index in Parts
	rawClosed      bool     // encodedMessage has closed raw
}

// leaf is a part without parts.
type leaf struct {
	content
	partIndex int // its index in Parts
	rank      int // of its text
	flowed    flowed
	node      *node
}

// newParser returns a parser of r with a read buffer of size octets.
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

// run reads to the end of the message, or of lastPart.
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

// handleLine handles a line, for the innermost open frame and for all messages that
// contain it.
func (p *parser) handleLine(ln line) error {
	i, last := p.boundary(ln)
	around := p.stack[p.baseFrame+1:]
	if i >= 0 {
		around = p.stack[p.baseFrame+1 : i] // a boundary is content of the messages that contain its multipart
	}
	if err := writeRaw(around, ln); err != nil {
		return err
	}
	return p.dispatchLine(ln, i, last)
}

// writeRaw writes a line to all messages within the message on a stack.
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

// boundary returns the index of the frame whose boundary a line is (RFC 2046 5.1.1), -1
// if it is none, and whether it is the closing one.
func (p *parser) boundary(ln line) (i int, last bool) {
	return findBoundary(ln, p.stack, p.baseFrame)
}

// findBoundary is boundary for the frames above base in a given stack.
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

// dispatchLine handles a line in the innermost open frame, or the boundary of stack[i].
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
		return p.headerLine(ln)
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

// adoptBoundary reports whether a line before the first part is the boundary of a
// multipart that names another boundary or none: the next line must be a content- field.
// The returned line replaces ln, whose slices are invalid.
func (p *parser) adoptBoundary(f *frame, ln line) (line, bool) {
	text := bytes.TrimRight(ln.text, " \t\r")
	if !ln.first || len(ln.eol) == 0 || len(text) < 3 || !bytes.HasPrefix(text, []byte("--")) || f.actualBoundary != nil {
		return ln, false
	}
	f.actualBoundary = bytes.Clone(text[2:])
	ln = line{bytes.Clone(ln.text), bytes.Clone(ln.eol), true} // peek invalidates the slices
	next, _ := cutLine(p.lines.peek())
	if name, _, ok := cutField(next); !ok || !strings.HasPrefix(strings.ToLower(name), "content-") {
		f.actualBoundary = nil
		return ln, false
	}
	p.addProblem("multipart%s with another boundary than it names", atPath(f.path))
	return ln, true
}

// endHeaderBefore ends the header before a line that is the first of the body, and handles
// the line.
func (p *parser) endHeaderBefore(ln line) error {
	n := len(p.stack)
	p.endHeader()
	i, last := p.boundary(ln)
	if i < 0 { // handleLine has written it to the outer messages
		if err := writeRaw(p.stack[n:], ln); err != nil {
			return err
		}
	}
	if p.startsEncoded && i < 0 || p.done {
		return nil
	}
	return p.dispatchLine(ln, i, last)
}

// closeFrames closes everything inside stack[i], at a boundary or at the end of the
// message.
func (p *parser) closeFrames(i int, boundary bool) error {
	for p.header != nil { // the end of a header may begin a message, whose header ends too
		p.endHeader()
	}
	p.startsEncoded = false // the encoded message is empty
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

// endPart records the size and faults of a part that ended.
func (p *parser) endPart(c *content, part int) error {
	p.message.Parts[part].Size = c.size
	if c.decoder.broken() {
		p.addProblem("part %d: broken transfer encoding", part+1)
	}
	p.done = p.done || part+1 == p.lastPart
	return c.err
}

// endHeader ends a header. It starts the part or multipart that the header describes.
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
	if strings.HasPrefix(mtype, "multipart/") && p.startMultipart(mtype, ps.boundary(), childPath) {
		return
	}
	p.startPart(mtype, path, ps, h)
}

// isDeep reports whether the part that starts is nested too deeply to be parsed.
func (p *parser) isDeep() bool { return len(p.stack) > p.options.MaxDepth }

// startMultipart opens a multipart. It returns false if the multipart is a leaf, because
// it is nested too deeply.
func (p *parser) startMultipart(mtype, boundary, path string) bool {
	if boundary == "" {
		p.addProblem("multipart%s without a boundary", atPath(path))
	}
	if p.isDeep() {
		p.addProblem("parts deeper than %d: not looked into", p.options.MaxDepth)
		return false
	}
	node := newNode(mtype, p.stack[len(p.stack)-1].node)
	node.isAlternative = node.isAlternative && !p.options.AllText
	if mtype == "multipart/encrypted" {
		p.addProblem("encrypted: archiverd can't read what is in it")
	}
	p.stack = append(p.stack, frame{
		boundary: []byte(boundary),
		path:     path,
		isDigest: mtype == "multipart/digest",
		node:     node,
	})
	return true
}

// startPart adds a part and starts it: a message to be parsed, or a leaf.
func (p *parser) startPart(mtype, path string, ps params, h *header) {
	enc := transferEncoding(h.get("Content-Transfer-Encoding"))
	n, c := p.addPart(mtype, path, ps, h, enc)
	part := p.message.Parts[n]
	parent := p.stack[len(p.stack)-1].node
	node := &node{partNumber: n + 1}
	parent.children = append(parent.children, node)
	if isMessage(mtype) && p.canParseMessage(p.isDeep(), enc, n) {
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
	p.leaf.keepText = p.openPart == nil && p.leaf.rank > 0 && (mtype == calendarType || !parent.hasBetter(p.leaf.rank))
	p.leaf.maxText = p.textRoom
	p.leaf.flowed = flowed{mtype == "text/plain" && strings.EqualFold(ps.get("format"), "flowed"), strings.EqualFold(ps.get("delsp"), "yes")}
	if mtype == "application/pkcs7-mime" || mtype == "application/x-pkcs7-mime" {
		p.addProblem("part %d: S/MIME, encrypted or signed: archiverd can't read what is in it", n+1)
	}
}
