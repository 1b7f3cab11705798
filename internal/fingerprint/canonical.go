package fingerprint

import (
	"bytes"

	"archiverd/archive"
)

// Canonical brings the octets written to it into one form for a message and for
// what a server may make of it: line ends are CRLF, NUL is replaced, and so are
// 8-bit octets in the header.
type Canonical struct {
	sum    *archive.Hasher
	size   int64
	header bytes.Buffer // up to MaxHeader
	inBody bool
	line   int // octets of the line so far
	cr     int // CRs not written yet: they may belong to a line end
	out    []byte
}

// NewCanonical returns a Canonical to which nothing has been written.
func NewCanonical() *Canonical { return &Canonical{sum: archive.NewHasher()} }

// Write never fails.
func (c *Canonical) Write(p []byte) (int, error) {
	n := len(p)
	c.out = c.out[:0]
	for len(p) > 0 {
		if c.inBody && c.cr == 0 { // most of a message is copied in one go
			plain := bytes.IndexAny(p, "\r\n\x00")
			if plain < 0 {
				plain = len(p)
			}
			c.out = append(c.out, p[:plain]...)
			c.line += plain
			if p = p[plain:]; len(p) == 0 {
				break
			}
		}
		b := p[0]
		p = p[1:]
		switch {
		case b == '\r':
			c.cr++
			continue
		case b == '\n':
			c.cr = 0
			c.out = append(c.out, '\r', '\n')
			c.inBody = c.inBody || c.line == 0
			c.line = 0
			continue
		case c.cr > 0:
			c.putCRs()
		}
		c.put(b)
		c.line++
	}
	c.flush()
	return n, nil
}

// putCRs writes the CRs that no LF has followed.
func (c *Canonical) putCRs() {
	for ; c.cr > 0; c.cr-- {
		c.put('\r')
		c.line++
	}
}

func (c *Canonical) put(b byte) {
	if b == 0 {
		b = 0x80
	}
	if !c.inBody && b >= 0x80 {
		b = 'X'
	}
	c.out = append(c.out, b)
}

func (c *Canonical) flush() {
	_, _ = c.sum.Write(c.out) // never fails
	c.size += int64(len(c.out))
	if c.header.Len() < MaxHeader && len(c.out) > 0 {
		c.header.Write(c.out)
	}
}

// Sum returns the SHA-256 of what was written, in canonical form. CRs at the very
// end do not count.
func (c *Canonical) Sum() archive.Sum { return c.sum.Sum() }

// Size returns the octets of what was written, in canonical form.
func (c *Canonical) Size() int64 { return c.size }

// Header returns the first octets of what was written, in canonical form:
// MaxHeader or somewhat more, or all there are.
func (c *Canonical) Header() []byte { return c.header.Bytes() }

// LineEnds takes the SHA-256 of what is written to it, with CRLF for every LF
// that has no CR before it. It changes nothing else: a drill reports any other
// change of a server, so it does not compare in the form of Canonical.
type LineEnds struct {
	sum  *archive.Hasher
	last byte
	out  []byte
}

// NewLineEnds returns a LineEnds to which nothing has been written.
func NewLineEnds() *LineEnds { return &LineEnds{sum: archive.NewHasher()} }

// Write never fails.
func (l *LineEnds) Write(p []byte) (int, error) {
	l.out = l.out[:0]
	for _, b := range p {
		if b == '\n' && l.last != '\r' {
			l.out = append(l.out, '\r')
		}
		l.out = append(l.out, b)
		l.last = b
	}
	_, _ = l.sum.Write(l.out) // never fails
	return len(p), nil
}

// Sum returns the SHA-256 of what was written.
func (l *LineEnds) Sum() archive.Sum { return l.sum.Sum() }
