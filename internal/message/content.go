package message

import "io"

// content decodes the octets of one part, counts them, and passes them on or keeps
// them.
type content struct {
	size      int64
	eol       []byte // the latest line end: it belongs to the boundary if one follows (RFC 2046 5.1.1)
	decoder   decoder
	w         io.WriteCloser // gets the decoded octets; may be nil
	err       error          // of w
	feed      *[]byte        // collects the decoded octets of an encoded message; nil for other parts
	keepText  bool           // the decoded octets are kept in text
	maxText   int            // octets of text at most
	text      []byte
	truncated bool // there were more octets than maxText
}

// write takes a line of the part.
func (c *content) write(ln line) {
	if _, plain := c.decoder.(identity); plain && c.w == nil && c.feed == nil && (!c.keepText || c.truncated) {
		c.size += int64(len(c.eol) + len(ln.text)) // a shortcut: nothing uses the octets
		c.eol = append(c.eol[:0], ln.eol...)
		return
	}
	c.writeDecoded(c.decoder.decode(c.eol))
	c.writeDecoded(c.decoder.decode(ln.text))
	c.eol = append(c.eol[:0], ln.eol...)
}

// close ends the part, at a boundary or at the end of the message, and closes w.
func (c *content) close(boundary bool) {
	if !boundary {
		c.writeDecoded(c.decoder.decode(c.eol))
	}
	c.writeDecoded(c.decoder.end())
	if c.w != nil && c.err == nil {
		c.err = c.w.Close()
	}
}

// writeDecoded passes on decoded octets.
func (c *content) writeDecoded(p []byte) {
	c.size += int64(len(p))
	if c.w != nil && c.err == nil && len(p) > 0 {
		_, c.err = c.w.Write(p)
	}
	if c.feed != nil {
		*c.feed = append(*c.feed, p...)
	}
	if c.keepText {
		n := min(len(p), c.maxText-len(c.text))
		c.text = append(c.text, p[:n]...)
		c.truncated = c.truncated || n < len(p)
	}
}
