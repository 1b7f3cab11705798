package wire

import (
	"bytes"
	"fmt"
	"slices"
)

// bodyOutcome is what a bodyHandler did with a body that a reply announces.
type bodyOutcome int

const (
	bodySkipped  bodyOutcome = iota // nobody wants it: its octets are to be dropped
	bodyRead                        // its octets are read
	bodyDeferred                    // its octets are read by someone else; readReply returns nothing
)

// bodyHandler is given what stands before a literal behind "BODY[] ", and its size
// in octets.
type bodyHandler func(head []byte, size int64) (bodyOutcome, error)

// readReply reads one reply with its literals in place. It is valid until the next
// call.
func (c *Conn) readReply(body bodyHandler) ([]byte, error) {
	line, err := c.in.readLine()
	if err != nil {
		return nil, err
	}
	u := parseUntagged(line)
	if len(u.name) == 0 || u.isStatus() {
		return line, nil // tagged, "+", a status response or rubbish: text, in which nothing is a literal
	}
	return c.readLiterals(line, body)
}

const (
	literalOverhead = 32 // what each literal of a reply counts beside its octets: an empty one takes memory too
	maxBodies       = 8  // of one reply; an honest one has one. Each costs a look at all that stands before it
)

// readLiterals reads on while the line ends in the size of a literal. Bodies are left
// out of the reply ("{0}"). Limits.Literal bounds the rest of the reply, if it has
// literals.
func (c *Conn) readLiterals(line []byte, body bodyHandler) ([]byte, error) {
	c.replyBuffer = c.replyBuffer[:0]
	octetsLeft, bodiesLeft := c.options.Limits.Literal, maxBodies
	for {
		head, size, ok, err := literalAt(line)
		if err != nil {
			return nil, err
		}
		if !ok && len(c.replyBuffer) == 0 {
			return line, nil
		}
		c.replyBuffer = append(c.replyBuffer, head...)
		if !ok {
			return c.replyBuffer, nil
		}
		if octetsLeft -= int64(len(head)) + literalOverhead; octetsLeft < 0 {
			return nil, protocolError("reply of over %d octets beside its body: %w", c.options.Limits.Literal, ErrLimit)
		}
		switch {
		case endsInBody(c.replyBuffer):
			if bodiesLeft--; bodiesLeft < 0 {
				return nil, protocolError("reply with over %d bodies: %w", maxBodies, ErrLimit)
			}
			var outcome bodyOutcome
			if outcome, err = c.handleBody(size, body); outcome == bodyDeferred {
				return nil, err
			}
			c.replyBuffer = append(c.replyBuffer, "{0}\r\n"...)
		case size > octetsLeft:
			return nil, protocolError("literal of %d octets outside a body: %w", size, ErrLimit)
		default:
			octetsLeft -= size
			c.replyBuffer = fmt.Appendf(c.replyBuffer, "{%d}\r\n", size)
			err = c.readLiteral(size)
		}
		if err == nil {
			line, err = c.in.readLine()
		}
		if err != nil {
			return nil, err
		}
	}
}

// BodyTooLargeError ends a connection that announces a body over Limits.Message: nothing
// of it was read. It wraps ErrLimit.
type BodyTooLargeError struct {
	UID         uint32 // 0: it does not stand before the body
	Size, Limit int64  // octets
}

// Error returns both sizes.
func (e *BodyTooLargeError) Error() string {
	return fmt.Sprintf("body of %d octets, over %d", e.Size, e.Limit)
}

// Unwrap returns ErrLimit.
func (e *BodyTooLargeError) Unwrap() error { return ErrLimit }

// handleBody gives a body to its handler, or drops it.
func (c *Conn) handleBody(size int64, body bodyHandler) (outcome bodyOutcome, err error) {
	if limit := c.options.Limits.Message; size > limit {
		f := parseFetch(parseUntagged(c.replyBuffer))
		return 0, &Error{Class: ClassProtocol, Err: &BodyTooLargeError{UID: f.uid, Size: size, Limit: limit}}
	}
	if body != nil {
		outcome, err = body(c.replyBuffer, size)
	}
	if err == nil && outcome == bodySkipped {
		err = c.in.skipLiteral(size)
	}
	return outcome, err
}

// readLiteral appends the octets of a literal to the reply as they come: nothing is
// allocated for octets that are only announced.
func (c *Conn) readLiteral(size int64) error {
	c.in.beginUnit()
	defer c.in.endUnit()
	for size > 0 {
		c.replyBuffer = slices.Grow(c.replyBuffer, int(min(size, 4096)))
		have := len(c.replyBuffer)
		n, err := c.in.readLiteral(c.replyBuffer[have : have+int(min(size, 4096))])
		if err != nil {
			return err
		}
		c.replyBuffer = c.replyBuffer[:have+n]
		size -= int64(n)
	}
	return nil
}

// literalAt reads the size of a literal at the end of a line: "… {123}". A quoted
// string can't hold a line end, so what looks like a literal here is one.
func literalAt(line []byte) (head []byte, size int64, ok bool, err error) {
	if !bytes.HasSuffix(line, []byte{'}'}) {
		return line, 0, false, nil
	}
	i := bytes.LastIndexByte(line, '{')
	if i < 0 || i+2 > len(line)-1 {
		return line, 0, false, nil
	}
	inner := line[i+1 : len(line)-1]
	if inner[0] != '-' && (inner[0] < '0' || inner[0] > '9') {
		return line, 0, false, nil // a name with braces
	}
	n, isNumber := number(inner)
	if !isNumber {
		return nil, 0, false, protocolError("literal of unreadable size")
	}
	return bytes.TrimSuffix(line[:i], []byte{'~'}), int64(n), true, nil
}

// endsInBody says whether the literal behind head is the whole message.
func endsInBody(head []byte) bool {
	head = bytes.TrimRight(head, " ")
	const item = "BODY[]"
	if len(head) <= len(item) || !bytes.EqualFold(head[len(head)-len(item):], []byte(item)) {
		return false
	}
	before := head[len(head)-len(item)-1]
	return before == ' ' || before == '('
}
