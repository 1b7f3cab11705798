// Package mbox writes and reads mbox files: messages one after the other, each
// below a line that begins with "From " and behind it followed by an empty line
// (RFC 4155).
//
// # Variants
//
// A line of a message that begins with "From " would be taken for the next
// message. The variants differ in what is done about it: mboxrd puts a ">" before
// it and before every line that has such marks already, so that all of it can be
// undone; mboxo marks "From " alone, which can't be told later from a line that was
// ">From " before; mboxcl2 marks nothing in a body, and says in a Content-Length
// field how many octets it has.
//
// # Line ends
//
// Lines of an mbox end in LF. A message all of whose lines end in CRLF, as all on
// an IMAP server should, is written with LF and comes back with CRLF. One with a
// mixture is written octet for octet, and comes back so, since a reader leaves
// alone what has any CRLF. What does not come back as it was, [Measure] tells.
//
// # Flags
//
// Flags stand in three fields that every mail program with mbox files knows:
// Status, X-Status and X-Keywords. [Write] puts them before the message's own
// header, always all three in this order (with X-IMAPbase and Content-Length among them
// where those are needed); a reader takes such a block for the
// mbox's and leaves the message behind it alone, whatever fields it has. Where
// another program wrote the fields among the message's own, they are taken out.
package mbox

import (
	"bytes"
	"io"
)

// Variant is how an mbox marks lines that begin with "From ".
type Variant string

// The variants that are written and read.
const (
	RD  Variant = "mboxrd"
	O   Variant = "mboxo"
	CL2 Variant = "mboxcl2"
)

// lineBuffer is how much of a line is seen at once.
const lineBuffer = 64 << 10

// lineReader cuts what it reads into lines, each with its line feed. A long one comes in
// several pieces, the two octets before a line feed never without it.
type lineReader struct {
	r        io.Reader
	buf      []byte
	i, n     int   // what is left in buf
	scanned  int   // of that, octets without a line feed
	off      int64 // of buf[i]
	partial  bool  // the piece before was not the end of its line
	finished bool
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: r, buf: make([]byte, lineBuffer)} }

// next returns a line, or a piece of one, and whether it is its beginning. It is
// valid until the next call. The error is io.EOF at the end.
func (l *lineReader) next() (text []byte, start bool, err error) {
	for {
		if k := bytes.IndexByte(l.buf[l.i+l.scanned:l.n], '\n'); k >= 0 {
			return l.emit(l.scanned+k+1, false)
		}
		if l.scanned = l.n - l.i; l.finished {
			if l.scanned == 0 {
				return nil, false, io.EOF
			}
			return l.emit(l.scanned, true)
		}
		if l.scanned == len(l.buf) {
			return l.emit(l.scanned-2, true)
		}
		copy(l.buf, l.buf[l.i:l.n])
		l.i, l.n = 0, l.scanned
		k, err := l.r.Read(l.buf[l.n:])
		l.n += k
		if err == io.EOF {
			l.finished = true
		} else if err != nil {
			return nil, false, err
		}
	}
}

func (l *lineReader) emit(k int, partial bool) ([]byte, bool, error) {
	text, start := l.buf[l.i:l.i+k], !l.partial
	l.i, l.scanned, l.partial = l.i+k, 0, partial
	l.off += int64(k)
	return text, start, nil
}

// isBlank says whether a line is empty.
func isBlank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

// countMarks is how many ">" a line has before "From ", -1 where that does not follow.
func countMarks(line []byte) int {
	rest := bytes.TrimLeft(line, ">")
	if !bytes.HasPrefix(rest, []byte("From ")) {
		return -1
	}
	return len(line) - len(rest)
}
