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
// PreferHTML; attachments are left out, messages within the message are shown below
// a few of their header fields, invitations by what they say.
//
// Line ends may be CRLF, LF, CR, or any mix of them; a first mbox "From " line, a
// byte order mark and leading blank lines are passed over.
// All strings are valid UTF-8, but they still hold the control characters that
// the sender put there: print them through package safetext.
//
// Files: lines.go cuts the lines, parse.go and part.go walk the MIME structure,
// encoded_message.go does so in encoded messages, header.go reads the fields,
// param.go their parameters, encoded_words.go their encoded words, content.go takes
// the octets of a part, decode.go and uudecode.go undo transfer encodings, charset.go
// and utf7.go convert charsets, readable_text.go chooses the readable text, html*.go
// render HTML, flowed.go format=flowed, calendar.go invitations.
//
// The charsets are those of go-message. Its parser is not used: it gives up a
// multipart at the first malformed header or at a preamble line over 4 KiB, and
// has no limits for parts and depth. Not done here: decryption, signatures,
// TNEF, uuencoded files in the midst of a text.
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
	MaxHeaderOctets int // of one header, the message's or a part's; default 512 KiB
	MaxFields       int // header fields kept; default 1,000
	MaxDepth        int // multiparts and messages within each other; default 100
	MaxParts        int // parts, multiparts included; default 10,000
	MaxTextOctets   int // of Text; default 2 MiB

	AllText bool // Text is every text: all alternatives, and what is attached

	PreferHTML bool // Text is of the PreferHTML rather than the text/plain where a message has both
	MarkParts  bool // Text has a line such as [part 3: report.pdf, 12 KiB] where a part stands that it does not show
}

func (o Options) withDefaults() Options {
	for _, l := range []struct {
		limit *int
		value int
	}{
		{&o.MaxHeaderOctets, 512 << 10},
		{&o.MaxFields, 1000},
		{&o.MaxDepth, 100},
		{&o.MaxParts, 10_000},
		{&o.MaxTextOctets, 2 << 20},
	} {
		if *l.limit <= 0 {
			*l.limit = l.value
		}
	}
	return o
}

// Message is a mail for reading.
type Message struct {
	Header   []Field  `json:"header"`             // all fields of the message, in order
	Text     string   `json:"text"`               // the readable body, its line ends "\n"
	Parts    []Part   `json:"parts"`              // all leaves and messages within the message, in order
	Problems []string `json:"problems,omitempty"` // what was wrong or left out, for people; at most 100
}

// Field is a header field. Value is unfolded, its encoded words decoded (RFC 2047).
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Part is a leaf of the MIME structure, or a message within the message (whose
// own parts follow it).
type Part struct {
	Number      int    `json:"number"`                // from 1, in order
	Path        string `json:"path"`                  // section as in IMAP (RFC 9051 6.4.5), such as 1.2.3
	Type        string `json:"type"`                  // media type in lower case, such as text/plain
	Charset     string `json:"charset,omitempty"`     // as declared, in lower case
	Name        string `json:"name,omitempty"`        // file name, decoded (RFC 2231, RFC 2047), safe to create in a directory
	Disposition string `json:"disposition,omitempty"` // as declared, in lower case: attachment, inline
	Attachment  bool   `json:"attachment"`            // it has a name or is not for reading: what a person would save
	Size        int64  `json:"size"`                  // decoded octets
	Depth       int    `json:"depth"`                 // multiparts and messages around it; 0 for the body of a simple message
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
	p := newParser(r, window, o)
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	p.message.Text = p.readableText()
	return p.message, nil
}

// ReadHeader reads the message's header and no more of r than the octets that
// come with it: the message has no Text and no Parts. The only errors are those
// of r.
func ReadHeader(r io.Reader, o Options) (*Message, error) {
	p := newParser(r, headerWindow, o)
	p.headerOnly = true
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return p.message, nil
}

// Extract reads a message to its end, once, and asks for each part as it begins
// where its decoded octets go. Of the part only the Size is not yet known; it has
// the number that Read gives it with the same Options. open may return nil for a
// part that goes nowhere. A writer is closed when its part ends: not if an error
// came before. The errors are those of r, of open and of the writers.
func Extract(r io.Reader, o Options, open func(Part) (io.WriteCloser, error)) error {
	p := newParser(r, window, o)
	p.openPart = open
	if err := p.run(); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// WritePart writes the decoded octets of one part (Part.Number, by the same
// Options) to w, as they stream in from r; text is not converted from its
// charset. It returns ErrNoPart, or the errors of r and w.
func WritePart(w io.Writer, r io.Reader, number int, o Options) error {
	p := newParser(r, window, o)
	out := bufio.NewWriter(w)
	found := false
	p.lastPart = number
	p.openPart = func(part Part) (io.WriteCloser, error) {
		if part.Number != number {
			return nil, nil
		}
		found = true
		return flushWriter{out}, nil
	}
	err := p.run()
	if err == nil && !found {
		err = ErrNoPart
	}
	if err != nil {
		return fmt.Errorf("write part %d: %w", number, err)
	}
	return nil
}

// flushWriter is a buffered writer that is flushed by Close.
type flushWriter struct{ *bufio.Writer }

func (f flushWriter) Close() error { return f.Flush() }
