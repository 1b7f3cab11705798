package message

import (
	"bytes"
	"io"
	"strconv"
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

	want int       // the part to write to w; 0 to read all
	w    io.Writer // takes that part
	done bool      // it is written
}

// frame is a multipart or a message that is open.
type frame struct {
	boundary []byte // of a multipart; nil for a message
	path     string // of its children: path.1, path.2
	digest   bool   // multipart/digest: its parts are messages (RFC 2046 5.1.5)
	children int
	closed   bool     // its last boundary was seen
	preamble []byte   // what comes before the first child: all there is if none comes
	node     *node    // where its readable text goes
	raw      *content // the octets of a message within the message
	part     int      // its index in Parts
}

// leaf is a part that has no parts.
type leaf struct {
	content
	part int // its index in Parts
	rank int // of its text
	node *node
}

func newParser(r io.Reader, o Options) *parser {
	o = o.withDefaults()
	return &parser{
		o:     o,
		in:    newLines(r),
		m:     &Message{},
		stack: []frame{{node: &node{}}},
		head:  &header{message: true},
		room:  o.TextOctets,
	}
}

// run reads to the end of the message, or of the part that is wanted.
func (p *parser) run() error {
	for !p.done {
		ln, err := p.in.next()
		if err == io.EOF {
			return p.closeTo(0, false)
		}
		if err != nil {
			return err
		}
		i, last := p.boundary(ln)
		around := p.stack
		if i >= 0 {
			around = p.stack[:i] // to the messages around its multipart a boundary is content
		}
		for j := range around {
			if raw := around[j].raw; raw != nil {
				raw.write(ln)
				if raw.err != nil {
					return raw.err
				}
			}
		}
		if err := p.line(ln, i, last); err != nil {
			return err
		}
	}
	return nil
}

// boundary returns which open multipart's boundary a line is (RFC 2046 5.1.1),
// -1 if none's, and whether it is its last.
func (p *parser) boundary(ln line) (i int, last bool) {
	text, ok := bytes.CutPrefix(ln.text, []byte("--"))
	if !ok || !ln.first {
		return -1, false
	}
	text = bytes.TrimRight(text, " \t\r")
	for i := len(p.stack) - 1; i > 0; i-- {
		if b := p.stack[i].boundary; b != nil {
			if rest, ok := bytes.CutPrefix(text, b); ok && (len(rest) == 0 || string(rest) == "--") {
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
		for _, b := range [][]byte{ln.text, ln.eol} {
			b = b[:min(len(b), p.room)]
			top.preamble = append(top.preamble, b...)
			p.room -= len(b)
		}
	}
	return nil
}

// endHeaderBefore ends the header before a line that is the body's first.
func (p *parser) endHeaderBefore(ln line) {
	n := len(p.stack)
	p.endHeader()
	for _, f := range p.stack[n:] {
		if f.raw != nil {
			f.raw.write(ln)
		}
	}
	i, last := p.boundary(ln)
	p.line(ln, i, last)
}

// closeTo closes all that is open within stack[i]: at a boundary, or at the end
// of the message.
func (p *parser) closeTo(i int, boundary bool) error {
	for p.head != nil { // one header without a body can begin a message, that is another
		p.endHeader()
	}
	var err error
	if p.leaf != nil {
		err = p.endPart(&p.leaf.content, p.leaf.part, boundary)
		p.keepText(p.leaf)
		p.leaf = nil
	}
	for len(p.stack)-1 > i {
		f := p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
		switch {
		case f.raw != nil:
			if e := p.endPart(f.raw, f.part, boundary); err == nil {
				err = e
			}
		case f.children == 0:
			p.problem("multipart%s without a part: what is there is shown as text", where(f.path))
			p.keepPreamble(f)
		case !f.closed:
			p.problem("multipart%s without its last boundary", where(f.path))
		}
	}
	return err
}

func (p *parser) endPart(c *content, part int, boundary bool) error {
	c.close(boundary)
	p.m.Parts[part].Size = c.size
	if c.dec.broken() {
		p.problem("part %d: broken transfer encoding", part+1)
	}
	p.done = p.done || part+1 == p.want
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
		if len(p.stack) == 1 {
			p.m.Header = p.decoded(h)
			if p.done = p.o.HeaderOnly; p.done {
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
	inner := &node{hidden: top.node.hidden}
	switch isMultipart := strings.HasPrefix(mtype, "multipart/"); {
	case (isMultipart || isMessage(mtype)) && deep:
		p.problem("parts deeper than %d: not looked into", p.o.Depth)
	case isMultipart && boundary == "":
		p.problem("multipart%s without a boundary: shown as text", where(childPath))
	case isMultipart:
		inner.alternative = mtype == "multipart/alternative" && !p.o.AllText
		top.node.children = append(top.node.children, inner)
		p.stack = append(p.stack, frame{
			boundary: []byte(boundary),
			path:     childPath,
			digest:   mtype == "multipart/digest",
			node:     inner,
		})
		return
	case isMessage(mtype) && enc != "":
		p.problem("part %d: message in %s: not looked into", len(p.m.Parts)+1, quote(enc))
	case isMessage(mtype):
		n, c := p.addPart(mtype, path, ps, h, "")
		inner.hidden = inner.hidden || attached(p.m.Parts[n].Disposition) && !p.o.AllText
		top.node.children = append(top.node.children, inner)
		p.stack = append(p.stack, frame{path: path, node: inner, raw: &c, part: n})
		p.head = &header{message: true}
		return
	}
	n, c := p.addPart(mtype, path, ps, h, enc)
	p.leaf = &leaf{content: c, part: n, rank: p.rank(mtype, p.m.Parts[n].Disposition), node: top.node}
	p.leaf.keep = p.want == 0 && p.leaf.rank > 0 && !top.node.hidden && !top.node.settled(p.leaf.rank)
	p.leaf.room = p.room
}

// addPart lists a part and returns its index and what its octets go to.
func (p *parser) addPart(mtype, path string, ps params, h *header, enc string) (int, content) {
	disposition, dps := parseParams(h.get("Content-Disposition"))
	if !isToken(disposition) {
		disposition = ""
	}
	name := fileName(dps.get("filename"))
	if name == "" {
		name = fileName(ps.get("name"))
	}
	n := len(p.m.Parts)
	p.m.Parts = append(p.m.Parts, Part{
		Number:      n + 1,
		Path:        path,
		Type:        mtype,
		Charset:     strings.ToLower(ps.get("charset")),
		Name:        name,
		Disposition: disposition,
		Depth:       len(p.stack) - 1,
	})
	c := content{dec: newDecoder(enc)}
	if c.dec == nil {
		p.problem("part %d: unknown transfer encoding %s", n+1, quote(enc))
		c.dec = identity{}
	}
	if n+1 == p.want {
		c.w = p.w
	}
	return n, c
}

// contentType returns the media type of a header and its parameters.
func (p *parser) contentType(h *header, digest bool) (string, params) {
	field := h.get("Content-Type")
	mtype, ps := parseParams(field)
	switch {
	case isMediaType(mtype):
		return mtype, ps
	case strings.TrimSpace(field) == "" && digest:
		return "message/rfc822", ps
	case strings.TrimSpace(field) != "":
		p.problem("invalid Content-Type: %s", quote(field))
	}
	return "text/plain", ps // RFC 2045 5.2
}

// isMessage says whether a media type is that of a whole message.
func isMessage(mtype string) bool {
	return mtype == "message/rfc822" || mtype == "message/global" || mtype == "message/news"
}

func join(path string, n int) string {
	if path == "" {
		return strconv.Itoa(n)
	}
	return path + "." + strconv.Itoa(n)
}

func where(path string) string {
	if path == "" {
		return ""
	}
	return " " + path
}
