package mbox

import (
	"bytes"
	"io"
	"slices"
)

// Octets returns a reader of the message as it was before it was put into the mbox.
// It may be called again, also from several goroutines.
func (m *Message) Octets() (io.Reader, error) {
	variant, crlf, err := m.inspect()
	if err != nil {
		return nil, err
	}
	return &originalReader{lines: newLineReader(m.raw()), variant: variant, header: true, crlf: !crlf && !m.options.KeepLineEnds}, nil
}

// raw reads the message without the fields of the mbox, its marks and line ends
// unchanged.
func (m *Message) raw() io.Reader {
	var parts []io.Reader
	at := m.start
	for _, c := range slices.Concat(m.cuts, []cut{{m.end, m.end}}) {
		if from := min(c.from, m.end); from > at {
			parts = append(parts, io.NewSectionReader(m.r, at, from-at))
		}
		at = max(at, c.to)
	}
	return io.MultiReader(parts...)
}

// inspect reads the message and returns how its lines are marked, and whether any
// ends in CRLF.
func (m *Message) inspect() (v Variant, crlf bool, err error) {
	unmarked, header := false, true
	for l := newLineReader(m.raw()); ; {
		text, start, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", false, err
		}
		crlf = crlf || bytes.HasSuffix(text, []byte("\r\n"))
		unmarked = unmarked || start && !header && countMarks(text) == 0
		header = header && !(start && isBlank(text))
	}
	switch {
	case m.hasBlock && m.usesLength:
		v = CL2
	case m.options.Variant != "":
		v = m.options.Variant
	case m.usesLength && unmarked: // a program that leaves such a line unmarked marks none
		v = CL2
	default:
		v = RD
	}
	return v, crlf, nil
}

// originalReader reads a message without the marks.
type originalReader struct {
	lines   *lineReader
	variant Variant
	header  bool
	crlf    bool   // write CRLF for LF
	rest    []byte // of the current line
	end     []byte // its line end
}

// Read implements [io.Reader].
func (o *originalReader) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.rest, o.end = o.end, nil; len(o.rest) > 0 {
			break
		}
		text, start, err := o.lines.next()
		if err != nil {
			return 0, err
		}
		if n := countMarks(text); start && n > 0 && (o.variant == RD || o.variant == O && n == 1 || o.variant == CL2 && o.header) {
			text = text[1:]
		}
		o.header = o.header && !(start && isBlank(text))
		if k := len(text) - 1; o.crlf && text[k] == '\n' {
			text, o.end = text[:k], []byte("\r\n")
		}
		o.rest = text
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}
