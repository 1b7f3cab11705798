package message

import "io"

// encodedMessage is a reader of the decoded octets of a message within the message.
// Exchange and Zimbra encode such messages although RFC 2045 6.4 forbids it (RFC 6532
// 3.5 allows it for message/global). The parser reads its lines as if it were the whole
// message; each Read also passes the encoded lines to the messages around it.
type encodedMessage struct {
	parser     *parser
	source     *lines // source of the encoded lines
	outerBase  int    // the parser's baseFrame for source
	frameIndex int    // index of the message's frame on the stack
	pending    []byte // decoded octets that are not read yet
	endLine    *line  // the boundary that ended the message, nil if the source ended
	eof        bool
}

// enterEncoded makes the parser read the encoded message on top of the stack.
func (p *parser) enterEncoded() {
	p.startsEncoded = false
	top := len(p.stack) - 1
	d := &encodedMessage{parser: p, source: p.lines, outerBase: p.baseFrame, frameIndex: top, pending: *p.stack[top].raw.feed}
	p.encodedMessages = append(p.encodedMessages, d)
	p.lines, p.baseFrame = newLines(d, window), top
	p.header = &header{message: true}
}

// leaveEncoded closes the encoded message that ended and continues after it.
func (p *parser) leaveEncoded() error {
	d := p.encodedMessages[len(p.encodedMessages)-1]
	err := p.closeFrames(d.frameIndex-1, false)
	p.encodedMessages = p.encodedMessages[:len(p.encodedMessages)-1]
	p.lines, p.baseFrame = d.source, d.outerBase
	if err == nil && d.endLine != nil && !p.done {
		err = p.handleLine(*d.endLine)
	}
	return err
}

// Read returns the decoded octets up to the boundary that ends the message.
func (d *encodedMessage) Read(b []byte) (int, error) {
	raw := d.parser.stack[d.frameIndex].raw
	for len(d.pending) == 0 {
		if d.eof {
			return 0, io.EOF
		}
		*raw.feed = (*raw.feed)[:0]
		if err := d.decodeLine(raw); err != nil {
			return 0, err
		}
		d.pending = *raw.feed
	}
	n := copy(b, d.pending)
	d.pending = d.pending[n:]
	return n, nil
}

// decodeLine decodes the next line of the source.
func (d *encodedMessage) decodeLine(raw *content) error {
	ln, err := d.source.next()
	if err != nil && err != io.EOF {
		return err
	}
	i := -1
	if err == nil {
		i, _ = findBoundary(ln, d.parser.stack[:d.frameIndex], d.outerBase)
	}
	if d.eof = err == io.EOF || i >= 0; d.eof {
		if i >= 0 {
			d.endLine = &ln // valid until source is read again
		}
		raw.close(i >= 0)
		d.parser.stack[d.frameIndex].rawClosed = true
		return raw.err
	}
	if err := writeRaw(d.parser.stack[d.outerBase+1:d.frameIndex], ln); err != nil {
		return err
	}
	raw.write(ln)
	return raw.err
}
