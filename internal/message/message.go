// Package message reads a mail (RFC 5322, MIME) for people: decoded header
// fields, one readable text, a numbered list of parts, and the octets of a part.
//
// A message may be hostile. It is read once, line by line, and never kept in memory
// as a whole: time is linear in its length, and memory is bounded by Options. A
// malformed message is no error. What can't be parsed becomes text, what can't be
// decoded is decoded as far as possible, and Problems describes the fault. Nothing is
// fetched from a network.
//
// The readable text is the text/plain if there is any, else the HTML converted to
// text. Attachments are omitted. Messages within the message are shown below a few of
// their header fields, invitations as a list of their properties.
//
// Line ends may be CRLF, LF, CR or a mix of them. An mbox "From " line, a byte order
// mark and blank lines before the header are skipped. All strings are valid UTF-8, but
// may have control characters of the sender: print them through package safetext.
//
// Files: lines.go cuts the lines, parse.go and part.go walk the MIME structure,
// encoded_message.go does so in encoded messages, header.go reads the fields,
// param.go their parameters, encoded_words.go their encoded words, content.go takes
// the octets of a part, decode.go and uudecode.go undo transfer encodings, charset.go
// and utf7.go convert charsets, readable_text.go chooses the readable text, html*.go
// render HTML, flowed.go format=flowed, calendar.go invitations.
//
// The charsets are those of go-message. Its parser is not used: it stops reading a
// multipart at the first malformed header or at a preamble line over 4 KiB, and has no
// limits for parts and depth. The package does not decrypt, check signatures, or read
// TNEF and uuencoded files inside a text.
package message

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrNoPart is returned when a message has no part with the given number.
var ErrNoPart = errors.New("no such part")

// Options are the limits for one message, and what its Text contains. A limit of 0 is
// the default. What exceeds a limit is omitted, and Problems says so.
type Options struct {
	MaxHeaderOctets int // of one header, of the message or a part; default 512 KiB
	MaxFields       int // header fields of one header; default 1,000
	MaxDepth        int // nested multiparts and messages; default 100
	MaxParts        int // parts, multiparts included; default 10,000
	MaxTextOctets   int // of Text; default 2 MiB

	AllText bool // Text has all texts: every alternative, and attached ones

	PreferHTML bool // Text is the HTML instead of the text/plain if a message has both
	MarkParts  bool // Text has a line such as [part 3: report.pdf, 12 KiB] in the place of each omitted part
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

// Message is a mail as people read it.
type Message struct {
	Header   []Field  `json:"header"`             // fields of the message, in order
	Text     string   `json:"text"`               // readable text, with line ends "\n"
	Parts    []Part   `json:"parts"`              // leaves and messages within the message, in order
	Problems []string `json:"problems,omitempty"` // faults and omissions, for people; at most 100
}

// Field is a header field. Value is unfolded, and its encoded words are decoded
// (RFC 2047).
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Part is a leaf of the MIME structure, or a message within the message. The parts of
// such a message follow it.
type Part struct {
	Number      int    `json:"number"`                // from 1, in order
	Path        string `json:"path"`                  // section as in IMAP (RFC 9051 6.4.5), such as 1.2.3
	Type        string `json:"type"`                  // media type in lower case, such as text/plain
	Charset     string `json:"charset,omitempty"`     // as declared, in lower case
	Name        string `json:"name,omitempty"`        // file name, decoded (RFC 2231, RFC 2047), safe to create in a directory
	Disposition string `json:"disposition,omitempty"` // as declared, in lower case: attachment, inline
	Attachment  bool   `json:"attachment"`            // it has a file name or is not readable text
	Size        int64  `json:"size"`                  // decoded octets
	Depth       int    `json:"depth"`                 // number of multiparts and messages that contain it; 0 for the body of a simple message
}

// Get returns the value of the first header field with a name, "" if there is none.
// Case does not matter.
func (m *Message) Get(name string) string {
	for _, f := range m.Header {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Read reads a message to the end of r. It returns only errors of r.
func Read(r io.Reader, o Options) (*Message, error) {
	p := newParser(r, window, o)
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	p.message.Text = p.readableText()
	return p.message, nil
}

// ReadHeader reads only the header of a message: Text and Parts are empty. It may read
// up to 8 KiB more from r. It returns only errors of r.
func ReadHeader(r io.Reader, o Options) (*Message, error) {
	p := newParser(r, headerWindow, o)
	p.headerOnly = true
	if err := p.run(); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return p.message, nil
}

// Extract reads a message to its end and writes the decoded octets of each part to the
// writer that open returns for it, or nowhere if open returns nil. open is called when
// the part begins: its Size is not known, all else is as Read returns it with the same
// Options. Extract closes a writer when its part ends, but not after an error. The
// errors are those of r, open and the writers.
func Extract(r io.Reader, o Options, open func(Part) (io.WriteCloser, error)) error {
	p := newParser(r, window, o)
	p.openPart = open
	if err := p.run(); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// WritePart reads a message from r and writes the decoded octets of the part with a
// Part.Number to w. The number is that of Read with the same Options. The charset of
// text is not converted. The error is ErrNoPart, or one of r and w.
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

// flushWriter is a buffered writer whose Close only flushes.
type flushWriter struct{ *bufio.Writer }

func (f flushWriter) Close() error { return f.Flush() }
