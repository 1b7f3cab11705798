package mbox

import (
	"bytes"
	"io"
	"slices"
)

// Octets reads the message as it was before it came into the mbox. It may be
// called again, also at the same time.
func (m *Message) Octets() (io.Reader, error) {
	variant, crlf, err := m.look()
	if err != nil {
		return nil, err
	}
	return &original{l: newLines(m.raw()), variant: variant, header: true, crlf: !crlf && !m.o.KeepLineEnds}, nil
}

// raw reads the message as it stands, without the mbox's own fields.
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

// look says how the message's lines are marked, and whether any ends in CRLF.
func (m *Message) look() (v Variant, crlf bool, err error) {
	unmarked, header := false, true
	for l := newLines(m.raw()); ; {
		text, start, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", false, err
		}
		crlf = crlf || bytes.HasSuffix(text, []byte("\r\n"))
		unmarked = unmarked || start && !header && marks(text) == 0
		header = header && !(start && blank(text))
	}
	switch {
	case m.own && m.length:
		v = CL2
	case m.o.Variant != "":
		v = m.o.Variant
	case m.length && unmarked: // who leaves such a line alone marks none
		v = CL2
	default:
		v = RD
	}
	return v, crlf, nil
}

// original is a message with its marks taken off.
type original struct {
	l       *lines
	variant Variant
	header  bool
	crlf    bool   // LF becomes CRLF
	rest    []byte // of a line
	end     []byte // behind rest
}

// Read implements [io.Reader].
func (o *original) Read(p []byte) (int, error) {
	for len(o.rest) == 0 {
		if o.rest, o.end = o.end, nil; len(o.rest) > 0 {
			break
		}
		text, start, err := o.l.next()
		if err != nil {
			return 0, err
		}
		if n := marks(text); start && n > 0 && (o.variant == RD || o.variant == O && n == 1 || o.variant == CL2 && o.header) {
			text = text[1:]
		}
		o.header = o.header && !(start && blank(text))
		if k := len(text) - 1; o.crlf && text[k] == '\n' {
			text, o.end = text[:k], []byte("\r\n")
		}
		o.rest = text
	}
	n := copy(p, o.rest)
	o.rest = o.rest[n:]
	return n, nil
}
