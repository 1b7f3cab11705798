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
	o     Options
	in    *lines
	m     *Message
	stack []frame // the first is the message itself
	head  *header
	leaf  *leaf
	count int // parts and multiparts so far
	ahead int // times that a header looked ahead
	room  int // octets of readable text that may still be kept

	base    int        // of stack: the message that in is the octets of; 0, or an encoded one
	sources []*decoded // the encoded messages that are open
	encoded bool       // the message on top of the stack is encoded: its octets are to be decoded

	hint     string // the first charset that the message names, beside ASCII and UTF-8
	headOnly bool   // read the message's header, and no more
	open     func(Part) (io.WriteCloser, error)
	err      error // of open
	last     int   // the part behind which nothing is wanted; 0 to read all
	done     bool  // it has ended
}

// frame is a multipart or a message that is open.
type frame struct {
	boundary []byte // of a multipart, empty if it names none; nil for a message
	found    []byte // the boundary that it has instead
	path     string // of its children: path.1, path.2
	digest   bool   // multipart/digest: its parts are messages (RFC 2046 5.1.5)
	children int
	closed   bool     // its last boundary was seen
	preamble []byte   // what comes before the first child: all there is if none comes
	node     *node    // where its readable text goes
	raw      *content // the octets of a message within the message
	part     int      // its index in Parts
	decoded  bool     // raw has been closed by whoever decoded it
}

// leaf is a part that has no parts.
type leaf struct {
	content
	part   int // its index in Parts
	rank   int // of its text
	flowed flowed
	node   *node
}

// newParser makes a parser that holds size octets of r in memory as such.
func newParser(r io.Reader, size int, o Options) *parser {
	o = o.withDefaults()
	return &parser{
		o:     o,
		in:    newLines(r, size),
		m:     &Message{},
		stack: []frame{{node: &node{places: true}}},
		head:  &header{message: true},
		room:  o.TextOctets,
	}
}

// run reads to the end of the message, or of the last part that is wanted.
func (p *parser) run() error {
	for !p.done {
		ln, err := p.in.next()
		switch {
		case err == io.EOF && len(p.sources) > 0:
			err = p.leave()
		case err == io.EOF:
			return errors.Join(p.closeTo(0, false), p.err)
		case err == nil:
			err = p.take(ln)
		}
		if err = cmp.Or(err, p.err); err != nil {
			return err
		}
		if p.encoded {
			p.enter()
		}
	}
	return p.err
}

// take takes a line, for what is open and for all messages around it.
func (p *parser) take(ln line) error {
	i, last := p.boundary(ln)
	around := p.stack[p.base+1:]
	if i >= 0 {
		around = p.stack[p.base+1 : i] // to the messages around its multipart a boundary is content
	}
	if err := writeRaw(around, ln); err != nil {
		return err
	}
	return p.line(ln, i, last)
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
	return boundary(ln, p.stack, p.base)
}

// boundary looks for the boundary in stack, above base.
func boundary(ln line, stack []frame, base int) (i int, last bool) {
	text, ok := bytes.CutPrefix(ln.text, []byte("--"))
	if !ok || !ln.first {
		return -1, false
	}
	text = bytes.TrimRight(text, " \t\r")
	for i := len(stack) - 1; i > base; i-- {
		for _, b := range [][]byte{stack[i].boundary, stack[i].found} {
			if rest, ok := bytes.CutPrefix(text, b); len(b) > 0 && ok && (len(rest) == 0 || string(rest) == "--") {
				return i, len(rest) > 0
			}
		}
	}
	return -1, false
}

// line takes a line, or the boundary of the multipart on the stack at i.
func (p *parser) line(ln line, i int, last bool) error {
	switch top := &p.stack[len(p.stack)-1]; {
	case i >= 0:
		if err := p.closeTo(i, true); err != nil {
			return err
		}
		f := &p.stack[i]
		f.closed = last
		if !last {
			f.children++
			p.room += len(f.preamble)
			f.preamble = nil
			p.head = &header{}
		}
	case p.head != nil:
		p.headerLine(ln)
	case p.leaf != nil:
		p.leaf.write(ln)
		return p.leaf.err
	case top.boundary != nil && top.children == 0 && !top.closed:
		if ln, ok := p.findBoundary(top, ln); ok {
			return p.line(ln, len(p.stack)-1, false)
		}
		for _, b := range [][]byte{ln.text, ln.eol} {
			b = b[:min(len(b), p.room)]
			top.preamble = append(top.preamble, b...)
			p.room -= len(b)
		}
	}
	return nil
}

// findBoundary says whether a line before the first part is the boundary of a
// multipart all the same, though that names another or none: the next line is a
// field of a part's header. The line that it returns is to be used from then on.
func (p *parser) findBoundary(f *frame, ln line) (line, bool) {
	text := bytes.TrimRight(ln.text, " \t\r")
	if !ln.first || len(ln.eol) == 0 || len(text) < 3 || !bytes.HasPrefix(text, []byte("--")) || f.found != nil {
		return ln, false
	}
	f.found = bytes.Clone(text[2:])
	ln = line{bytes.Clone(ln.text), bytes.Clone(ln.eol), true} // looking ahead spoils it
	next, _ := cut(p.in.ahead())
	if name, _, ok := cutField(next); !ok || !strings.HasPrefix(strings.ToLower(name), "content-") {
		f.found = nil
		return ln, false
	}
	p.problem("multipart%s with another boundary than it names", where(f.path))
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
	if p.encoded && i < 0 || p.done {
		return
	}
	p.line(ln, i, last)
}

// closeTo closes all that is open within stack[i]: at a boundary, or at the end
// of the message.
func (p *parser) closeTo(i int, boundary bool) error {
	for p.head != nil { // one header without a body can begin a message, that is another
		p.endHeader()
	}
	p.encoded = false // nothing of it came
	if p.done {
		return nil
	}
	var err error
	if p.leaf != nil {
		p.leaf.close(boundary)
		err = p.endPart(&p.leaf.content, p.leaf.part)
		p.keepText(p.leaf)
		p.leaf = nil
	}
	for len(p.stack)-1 > i {
		f := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		switch {
		case f.raw != nil:
			if !f.decoded {
				f.raw.close(boundary)
			}
			err = cmp.Or(err, p.endPart(f.raw, f.part))
		case f.children == 0:
			p.problem("multipart%s without a part: what is there is shown as text", where(f.path))
			p.keepPreamble(f)
		case !f.closed:
			p.problem("multipart%s without its last boundary", where(f.path))
		}
	}
	return err
}

// endPart notes what is known of a part at its end.
func (p *parser) endPart(c *content, part int) error {
	p.m.Parts[part].Size = c.size
	if c.dec.broken() {
		p.problem("part %d: broken transfer encoding", part+1)
	}
	p.done = p.done || part+1 == p.last
	return c.err
}

// endHeader ends a header: what it says begins.
func (p *parser) endHeader() {
	h := p.head
	p.head = nil
	top := p.stack[len(p.stack)-1]
	path, childPath := join(top.path, top.children), join(top.path, top.children)
	if top.boundary == nil { // the body of a message (RFC 9051 6.4.5: a simple one has part 1)
		path, childPath = join(top.path, 1), top.path
		p.findHint(h)
		if len(p.stack) == 1 {
			p.m.Header = p.decoded(h)
			if p.headOnly {
				p.done = true
				return
			}
		} else {
			top.node.heading = p.heading(h)
		}
	}
	if p.count++; p.count > p.o.Parts {
		p.problem("more than %d parts: the others are left out", p.o.Parts)
		return
	}
	mtype, ps := p.contentType(h, top.digest)
	deep := len(p.stack) > p.o.Depth
	boundary := ps.boundary()
	enc := transferEncoding(h.get("Content-Transfer-Encoding"))
	if strings.HasPrefix(mtype, "multipart/") {
		if boundary == "" {
			p.problem("multipart%s without a boundary", where(childPath))
		}
		if deep {
			p.problem("parts deeper than %d: not looked into", p.o.Depth)
		} else {
			inner := newNode(mtype, top.node)
			inner.alternative = inner.alternative && !p.o.AllText
			if mtype == "multipart/encrypted" {
				p.problem("encrypted: archiverd can't read what is in it")
			}
			p.stack = append(p.stack, frame{
				boundary: []byte(boundary),
				path:     childPath,
				digest:   mtype == "multipart/digest",
				node:     inner,
			})
			return
		}
	}
	n, c := p.addPart(mtype, path, ps, h, enc)
	part := p.m.Parts[n]
	node := &node{part: n + 1}
	top.node.children = append(top.node.children, node)
	if isMessage(mtype) && p.looksInto(deep, enc, n) {
		node.message = true
		p.stack = append(p.stack, frame{path: path, node: node, raw: &c, part: n})
		if p.encoded = enc != ""; !p.encoded {
			p.head = &header{message: true}
		} else {
			c.feed = new([]byte)
		}
		return
	}
	p.leaf = &leaf{content: c, part: n, rank: p.rank(mtype, part), node: node}
	node.readable = p.leaf.rank > 0
	p.leaf.keep = p.open == nil && p.leaf.rank > 0 && (mtype == calendar || !top.node.settled(p.leaf.rank))
	p.leaf.room = p.room
	p.leaf.flowed = flowed{mtype == "text/plain" && strings.EqualFold(ps.get("format"), "flowed"), strings.EqualFold(ps.get("delsp"), "yes")}
	if mtype == "application/pkcs7-mime" || mtype == "application/x-pkcs7-mime" {
		p.problem("part %d: S/MIME, encrypted or signed: archiverd can't read what is in it", n+1)
	}
}
