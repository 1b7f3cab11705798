package message

import "io"

// decoded is the octets of a message within the message that is encoded, as
// Exchange and Zimbra send them though RFC 2045 6.4 forbids it (RFC 6532 3.5
// allows it for message/global). The parser reads on in it as if it were the
// message itself; reading it feeds what is around it.
type decoded struct {
	p    *parser
	in   *lines // where the encoded lines come from
	base int    // the parser's, for them
	top  int    // the message's frame on the stack
	held []byte // decoded, and not yet read
	end  *line  // the boundary that ended it
	eof  bool
}

// enter goes into the encoded message on top of the stack.
func (p *parser) enter() {
	p.encoded = false
	top := len(p.stack) - 1
	d := &decoded{p: p, in: p.in, base: p.base, top: top, held: *p.stack[top].raw.feed}
	p.sources = append(p.sources, d)
	p.in, p.base = newLines(d, window), top
	p.head = &header{message: true}
}

// leave goes on behind the encoded message that ended.
func (p *parser) leave() error {
	d := p.sources[len(p.sources)-1]
	err := p.closeTo(d.top-1, false)
	p.sources = p.sources[:len(p.sources)-1]
	p.in, p.base = d.in, d.base
	if err == nil && d.end != nil && !p.done {
		err = p.take(*d.end)
	}
	return err
}

// Read decodes the lines up to the boundary that ends the message.
func (d *decoded) Read(b []byte) (int, error) {
	raw := d.p.stack[d.top].raw
	for len(d.held) == 0 {
		if d.eof {
			return 0, io.EOF
		}
		*raw.feed = (*raw.feed)[:0]
		if err := d.next(raw); err != nil {
			return 0, err
		}
		d.held = *raw.feed
	}
	n := copy(b, d.held)
	d.held = d.held[n:]
	return n, nil
}

// next takes one line.
func (d *decoded) next(raw *content) error {
	ln, err := d.in.next()
	if err != nil && err != io.EOF {
		return err
	}
	i := -1
	if err == nil {
		i, _ = boundary(ln, d.p.stack[:d.top], d.base)
	}
	if d.eof = err == io.EOF || i >= 0; d.eof {
		if i >= 0 {
			d.end = &ln // it stands until in is read again
		}
		raw.close(i >= 0)
		d.p.stack[d.top].decoded = true
		return raw.err
	}
	if err := writeRaw(d.p.stack[d.base+1:d.top], ln); err != nil {
		return err
	}
	raw.write(ln)
	return raw.err
}
