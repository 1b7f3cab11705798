package sync

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"archiverd/archive"
)

// maxHeader is how much of a header is read to compare it.
const maxHeader = 1 << 20

// headerOf is the header at the start of a message's octets, up to its first
// empty line, without trailing line ends; ended says that this line is there.
// It is plain if all servers take the same for the header: else only whole
// messages can be compared.
func headerOf(octets []byte) (header []byte, ended, plain bool) {
	plain = true
	for rest := octets; ; {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		text := bytes.TrimSuffix(line, []byte{'\r'})
		first := len(rest) == len(octets)
		if len(text) == 0 {
			return trimmed(octets[:len(octets)-len(rest)]), found, plain && found && !first
		}
		if folded := text[0] == ' ' || text[0] == '\t'; bytes.ContainsAny(text, "\r\x00") || folded && first || !folded && !isField(text) {
			plain = false
		}
		if !found {
			return trimmed(octets), false, false
		}
		rest = after
	}
}

// isField says whether a line begins with a field name and a colon (RFC 5322 2.2).
func isField(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte{':'})
	return found && len(name) > 0 && bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// trimmed is a header without the line ends behind it: servers differ in
// whether the empty line belongs to it.
func trimmed(header []byte) []byte { return bytes.TrimRight(header, "\r\n") }

// readHeader reads the header of a message; plain as of headerOf.
func readHeader(r io.Reader) (header []byte, plain bool, err error) {
	var b bytes.Buffer
	for {
		_, err := io.CopyN(&b, r, int64(max(16<<10, b.Len())))
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		header, ended, plain := headerOf(b.Bytes())
		if ended || err == io.EOF {
			return header, plain, nil
		}
		if b.Len() > maxHeader {
			return nil, false, nil
		}
	}
}

// canon makes of octets what servers may make of them, so that a message and
// what a server has made of it are the same: line ends are CRLF, NUL is not
// there, nor is 8-bit text in the header.
type canon struct {
	sum    hash.Hash
	size   int64
	header bytes.Buffer // as far as maxHeader
	inBody bool
	line   int // octets of the line so far
	cr     int // CRs held back
	out    []byte
}

func newCanon() *canon { return &canon{sum: sha256.New()} }

// Write never fails.
func (c *canon) Write(p []byte) (int, error) {
	n := len(p)
	c.out = c.out[:0]
	for len(p) > 0 {
		if c.inBody && c.cr == 0 { // most of a message
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
			c.held()
		}
		c.put(b)
		c.line++
	}
	c.flush()
	return n, nil
}

// held puts the CRs that no LF followed.
func (c *canon) held() {
	for ; c.cr > 0; c.cr-- {
		c.put('\r')
		c.line++
	}
}

func (c *canon) put(b byte) {
	if b == 0 {
		b = 0x80
	}
	if !c.inBody && b >= 0x80 {
		b = 'X'
	}
	c.out = append(c.out, b)
}

func (c *canon) flush() {
	c.sum.Write(c.out)
	c.size += int64(len(c.out))
	if c.header.Len() < maxHeader && len(c.out) > 0 {
		c.header.Write(c.out)
	}
}

// end is the sum of all that was written. A CR at the very end does not count.
func (c *canon) end() archive.Sum { return archive.Sum(c.sum.Sum(nil)) }

// traits are what a server might not leave as it is.
type traits struct {
	bareLF, bareCR, nul, header8 int
}

func (t traits) any() bool { return t != traits{} }

// String names them, for people.
func (t traits) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{t.bareLF, "LF without CR"}, {t.bareCR, "CR without LF"}, {t.nul, "NUL"}, {t.header8, "8-bit octets in the header"}} {
		if p.n > 0 {
			parts = append(parts, p.what)
		}
	}
	return strings.Join(parts, ", ")
}

// traitScan finds traits in what is written to it.
type traitScan struct {
	traits
	last   byte
	line   int // octets of the line so far, CR apart
	inBody bool
}

// Write never fails.
func (s *traitScan) Write(p []byte) (int, error) {
	for _, b := range p {
		if s.last == '\r' && b != '\n' {
			s.bareCR++
			s.line++
		}
		switch {
		case b == '\n':
			if s.last != '\r' {
				s.bareLF++
			}
			s.inBody = s.inBody || s.line == 0
			s.line = 0
		case b == '\r':
		default:
			s.line++
			if b == 0 {
				s.nul++
			}
			if b >= 0x80 && !s.inBody {
				s.header8++
			}
		}
		s.last = b
	}
	return len(p), nil
}

// errDamaged is returned when a message is not what its journal says.
var errDamaged = errors.New("the archive's file is damaged, so it is not restored; run `archiverd verify`")

// examineFile reads a message's file whole, and compares it with what it should
// be. The file is then at its start again.
func examineFile(f *os.File, it Item) (traits, error) {
	var scan traitScan
	sum, n, err := archive.Hash(io.TeeReader(f, &scan))
	if err != nil {
		return traits{}, fmt.Errorf("read: %w", err)
	}
	if scan.last == '\r' {
		scan.bareCR++
	}
	if n != it.Size || sum != it.Sum {
		return traits{}, errDamaged
	}
	_, err = f.Seek(0, io.SeekStart)
	return scan.traits, err
}
