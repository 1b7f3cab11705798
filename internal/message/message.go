// Package message reads a mail (RFC 5322, MIME) for people: decoded header
// fields, one readable text, a numbered list of parts, and any part's octets.
//
// The octets are taken to be hostile. A message is read once, line by line, and
// never held whole; time is linear in its length and memory is bounded by
// Options, whatever is in it. Nothing in a message is an error: what can't be
// parsed is shown as text, what can't be decoded is shown as far as it goes, and
// Problems says so. Nothing is ever fetched from a network.
//
// The readable text is text/plain where there is any, else a rendering of the
// HTML; attachments are left out, messages within the message are shown below
// a few of their header fields.
//
// Line ends may be CRLF, LF, CR, or any mix of them; a first mbox "From " line, a
// byte order mark and leading blank lines are passed over.
// All strings are valid UTF-8, but they still hold the control characters that
// the sender put there: print them through package safetext.
//
// Files: lines.go cuts the lines, parse.go walks the MIME structure, header.go
// reads the fields, param.go their parameters, words.go their encoded words,
// decode.go undoes transfer encodings, charset.go converts charsets, body.go
// chooses the readable text, html.go renders HTML.
//
// The charsets are those of go-message. Its parser is not used: it gives up a
// multipart at the first malformed header or at a preamble line over 4 KiB, and
// has no limits for parts and depth. Not done here: decryption, signatures,
// TNEF, uuencode, UTF-7, format=flowed.
package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrNoPart is returned when a message has no part of the number asked for.
var ErrNoPart = errors.New("no such part")

// Options are the limits of one message. A zero is the default. What goes beyond
// a limit is left out and named in Problems.
type Options struct {
	HeaderOctets int // of one header, the message's or a part's; default 512 KiB
	Fields       int // header fields kept; default 1,000
	Depth        int // multiparts and messages within each other; default 100
	Parts        int // parts, multiparts included; default 10,000
	TextOctets   int // of Text; default 2 MiB

	AllText    bool // Text is every text: all alternatives, and what is attached
	HeaderOnly bool // read no further than the message's own header
}

func (o Options) withDefaults() Options {
	for _, l := range []struct {
		limit *int
		value int
	}{
		{&o.HeaderOctets, 512 << 10},
		{&o.Fields, 1000},
		{&o.Depth, 100},
		{&o.Parts, 10_000},
		{&o.TextOctets, 2 << 20},
	} {
		if *l.limit <= 0 {
			*l.limit = l.value
		}
	}
	return o
}

// Message is a mail for reading.
type Message struct {
	Header   []Field  // all fields of the message, in order
	Text     string   // the readable body, its line ends "\n"
	Parts    []Part   // all leaves and messages within the message, in order
	Problems []string // what was wrong or left out, for people; at most 100
}

// Field is a header field. Value is unfolded, its encoded words decoded (RFC 2047).
type Field struct{ Name, Value string }

// Part is a leaf of the MIME structure, or a message within the message (whose
// own parts follow it).
type Part struct {
	Number      int    // from 1, in order
	Path        string // section as in IMAP (RFC 9051 6.4.5), such as 1.2.3
	Type        string // media type in lower case, such as text/plain
	Charset     string // as declared, in lower case; may be empty
	Name        string // file name, decoded (RFC 2231, RFC 2047), safe to create in a directory; may be empty
	Disposition string // as declared, in lower case: attachment, inline; may be empty
	Size        int64  // decoded octets
	Depth       int    // multiparts and messages around it; 0 for the body of a simple message
}

// Get returns the decoded value of the first header field of that name, in
// whatever case; empty if there is none.
func (m *Message) Get(name string) string {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Read reads a message to the end of r. The only errors are those of r.
func Read(r io.Reader, o Options) (*Message, error) {
	p := newParser(r, o)
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if !o.HeaderOnly {
		p.m.Text = p.text()
	}
	return p.m, nil
}

// WritePart writes the decoded octets of one part (Part.Number, by the same
// Options) to w, as they stream in from r; text is not converted from its
// charset. It returns ErrNoPart, or the errors of r and w.
func WritePart(w io.Writer, r io.Reader, number int, o Options) error {
	p := newParser(r, o)
	out := bufio.NewWriter(w)
	p.want, p.w = number, out
	err := p.run()
	if err == nil {
		err = out.Flush()
	}
	if err == nil && (number < 1 || number > len(p.m.Parts)) {
		err = ErrNoPart
	}
	if err != nil {
		return fmt.Errorf("write part %d: %w", number, err)
	}
	return nil
}
