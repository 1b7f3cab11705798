package message

import (
	"bufio"
	"bytes"
	"io"
)

// window is the octets of the message that are in memory as such: the longest
// line that comes in one piece.
const window = 64 << 10

// headerWindow is the same where no more than a header is read.
const headerWindow = 8 << 10

// lines cuts a message into lines. A line ends in LF, CRLF, CR or, as gateways
// made it, CRCRLF: a reader that heeds only some of these loses whole parts of
// real mail. The octets of a line end stay with the line.
type lines struct {
	r      *bufio.Reader
	size   int  // of its buffer
	inLine bool // the last piece had no line end: the next goes on with the same line
}

// line is a line, or a piece of one that is longer than the window. Its slices
// hold until the next read.
type line struct {
	text  []byte
	eol   []byte // the line end, empty in all pieces but the last
	first bool   // text begins a line
}

func newLines(r io.Reader, size int) *lines {
	return &lines{r: bufio.NewReaderSize(r, size), size: size}
}

// next returns the next line or piece; io.EOF behind the last one.
func (l *lines) next() (line, error) {
	var b []byte
	var err error
	end := -1
	for scanned := 0; end < 0 && err == nil; scanned = len(b) {
		// One octet more, and all that came with it.
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
	case end < 0: // none, or none yet
		end, next = len(b), len(b)
	case b[end] == '\n':
		next++
	case end <= l.size-maxLineEnd:
		b, _ = l.r.Peek(end + maxLineEnd)
		next += lineEndLength(b[end:])
	} // else it comes with the next piece, for which there is room
	ln := line{text: b[:end], eol: b[end:next], first: !l.inLine}
	l.inLine = next == end
	l.r.Discard(next)
	return ln, nil
}

// maxLineEnd is the octets of the longest line end.
const maxLineEnd = len("\r\r\n")

// lineEndLength returns the octets of the line end that b begins with.
func lineEndLength(b []byte) int {
	for _, s := range []string{"\r\r\n", "\r\n"} {
		if bytes.HasPrefix(b, []byte(s)) {
			return len(s)
		}
	}
	return 1
}

// peek returns what comes next, up to 4 KiB. It spoils the slices of a line.
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
