package message

import "io"

// content takes the octets of one part, raw, and keeps or passes on what they
// decode to.
type content struct {
	size      int64
	eol       []byte // the last line end: the boundary's, should one follow (RFC 2046 5.1.1)
	decoder   decoder
	w         io.WriteCloser // takes the decoded octets; may be nil
	err       error          // of w
	feed      *[]byte        // takes the decoded octets of an encoded message; else nil
	keepText  bool           // keep the decoded octets in text
	maxText   int            // at most that many
	text      []byte
	truncated bool // there were more
}

func (c *content) write(ln line) {
	if _, plain := c.decoder.(identity); plain && c.w == nil && c.feed == nil && (!c.keepText || c.truncated) {
		c.size += int64(len(c.eol) + len(ln.text)) // the short way, for one line in a hundred messages
		c.eol = append(c.eol[:0], ln.eol...)
		return
	}
	c.writeDecoded(c.decoder.decode(c.eol))
	c.writeDecoded(c.decoder.decode(ln.text))
	c.eol = append(c.eol[:0], ln.eol...)
}

// close ends the part, at a boundary or at the end of the message.
func (c *content) close(boundary bool) {
	if !boundary {
		c.writeDecoded(c.decoder.decode(c.eol))
	}
	c.writeDecoded(c.decoder.end())
	if c.w != nil && c.err == nil {
		c.err = c.w.Close()
	}
}

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
