// Package mbox writes and reads mbox files: messages one after the other, each
// preceded by a line that begins with "From " and followed by an empty line (RFC 4155).
//
// # Variants
//
// A line of a message that begins with "From " would be read as the beginning of the
// next message. The variants differ in how they prevent that. mboxrd puts a ">" before
// such a line, and before every line that already has such marks, so that a reader can
// undo all of it. mboxo marks "From " alone: a reader can't tell such a line from one
// that was ">From " before. mboxcl2 marks nothing in a body, and stores the octets of
// the body in a Content-Length field.
//
// # Line ends
//
// Lines of an mbox end in LF. A message all of whose lines end in CRLF, as on an IMAP
// server, is written with LF and read with CRLF. A message with a mixture is written
// octet for octet, and read so: a reader changes no message that has any CRLF.
// [Measure] returns what of a message is not read as it was.
//
// # Flags
//
// Flags are in three fields that every mail program with mbox files knows: Status,
// X-Status and X-Keywords. [Write] puts all three before the header of the message, in
// this order, with X-IMAPbase and Content-Length between them where needed. A reader
// that finds this block treats all later fields as the message's own. Fields that
// another program wrote among those of the message are removed.
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

// lineBuffer is how many octets of a line are read at once.
const lineBuffer = 64 << 10

// lineReader cuts its input into lines, each with its line feed. It returns a long
// line in several pieces; a line feed always comes with the two octets before it.
type lineReader struct {
	r        io.Reader
	buf      []byte
	i, n     int   // buf[i:n] is not returned yet
	scanned  int   // octets of that without a line feed
	off      int64 // of buf[i] in the input
	partial  bool  // the last piece did not end its line
	finished bool
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: r, buf: make([]byte, lineBuffer)} }

// next returns a line or a piece of one, and whether the line begins with it. The
// text is valid until the next call. The error is io.EOF at the end.
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

// emit returns the next k octets of the buffer.
func (l *lineReader) emit(k int, partial bool) ([]byte, bool, error) {
	text, start := l.buf[l.i:l.i+k], !l.partial
	l.i, l.scanned, l.partial = l.i+k, 0, partial
	l.off += int64(k)
	return text, start, nil
}

// isBlank reports whether a line is empty.
func isBlank(line []byte) bool { return string(line) == "\n" || string(line) == "\r\n" }

// countMarks returns how many ">" precede "From " at the beginning of a line, or -1
// if no "From " follows.
func countMarks(line []byte) int {
	rest := bytes.TrimLeft(line, ">")
	if !bytes.HasPrefix(rest, []byte("From ")) {
		return -1
	}
	return len(line) - len(rest)
}
