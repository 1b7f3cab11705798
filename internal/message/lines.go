package message

import (
	"bufio"
	"bytes"
	"io"
)

// window is the size of the read buffer, in octets. A longer line is returned in
// pieces.
const window = 64 << 10

// headerWindow is the size of the read buffer if only a header is read.
const headerWindow = 8 << 10

// lines splits a message into lines. A line ends in LF, CRLF, CR or CRCRLF, which some
// gateways write. Real mail has all of them: a reader that does not know one of them
// misses boundaries and loses parts.
type lines struct {
	r      *bufio.Reader
	size   int  // of its buffer
	inLine bool // the last piece had no line end: the next one belongs to the same line
}

// line is a line, or a piece of one that is longer than the window. Its slices are
// valid until the next call of next or peek.
type line struct {
	text  []byte
	eol   []byte // the line end; empty except in the last piece
	first bool   // text is the beginning of a line
}

func newLines(r io.Reader, size int) *lines {
	return &lines{r: bufio.NewReaderSize(r, size), size: size}
}

// next returns the next line or piece, io.EOF after the last one.
func (l *lines) next() (line, error) {
	var b []byte
	var err error
	end := -1
	for scanned := 0; end < 0 && err == nil; scanned = len(b) {
		// Wait for one more octet, and use everything that arrived with it.
		_, err = l.r.Peek(scanned + 1)
		b, _ = l.r.Peek(l.r.Buffered())
		if end = bytes.IndexAny(b[scanned:], "\r\n"); end >= 0 {
			end += scanned
		}
	}
	if len(b) == 0 || err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return line{}, err
	}
	next := end
	switch {
	case end < 0: // the message ends here, or the line is longer than the window
		end, next = len(b), len(b)
	case b[end] == '\n':
		next++
	case end <= l.size-maxLineEnd:
		b, _ = l.r.Peek(end + maxLineEnd)
		next += lineEndLength(b[end:])
	} // else the line end is in the next piece
	ln := line{text: b[:end], eol: b[end:next], first: !l.inLine}
	l.inLine = next == end
	_, _ = l.r.Discard(next) // never fails: these octets are buffered
	return ln, nil
}

// maxLineEnd is the length of the longest line end, in octets.
const maxLineEnd = len("\r\r\n")

// lineEndLength returns the length of the line end at the beginning of b.
func lineEndLength(b []byte) int {
	for _, s := range []string{"\r\r\n", "\r\n"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return len(s)
		}
	}
	return 1
}

// peek returns the next octets without reading them, up to 4 KiB. It invalidates the
// slices of the last line.
func (l *lines) peek() []byte {
	b, _ := l.r.Peek(4 << 10)
	return b
}

// cutLine returns the first line of b and the rest.
func cutLine(b []byte) (text, rest []byte) {
	end := bytes.IndexAny(b, "\r\n")
	if end < 0 {
		return b, nil
	}
	return b[:end], b[end+lineEndLength(b[end:]):]
}
