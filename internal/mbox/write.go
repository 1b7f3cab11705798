package mbox

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Envelope is what an mbox stores of a message besides its octets.
type Envelope struct {
	Sender string    // anything but one word of ASCII becomes MAILER-DAEMON
	Date   time.Time // written in UTC, to the second
	Flags  []string
	// Base is set for the first message of a file and lists all keywords in it.
	// Dovecot and others ignore keywords that are not listed there.
	Base *Base
}

// Base is the UIDVALIDITY of an mbox and its keywords.
type Base struct {
	UIDValidity uint32
	Keywords    []string
}

// Form is how a message is stored in an mbox.
type Form struct {
	Size int64    // octets of the message
	Loss []string // what a reader gets back changed or not at all, for people

	toLF       bool  // CRLF is written as LF
	body       int64 // octets after the header, as written
	hasLineEnd bool  // its last line has an end or needs none
}

// Measure reads a message to the end of r and returns how Write will store it.
func Measure(r io.Reader, v Variant) (Form, error) {
	c := counts{onlyCRLF: true, inHeader: true}
	for l := newLineReader(r); ; {
		text, start, err := l.next()
		if err == io.EOF {
			return c.form(v), nil
		}
		if err != nil {
			return Form{Size: c.octets}, err
		}
		c.add(text, start)
	}
}

// counts is what Measure counts in a message.
type counts struct {
	octets   int64 // of the message
	body     int64 // octets after the header
	lines    int   // lines that end in LF
	crlf     int   // lines that end in CRLF
	inBody   int   // lines after the header
	quoted   int   // lines of >From
	onlyCRLF bool  // no line ends in CR CR LF
	inHeader bool
	ended    bool // the last line has an end
}

// add counts a line or a piece of one; start says that the line begins with it.
func (c *counts) add(text []byte, start bool) {
	c.octets += int64(len(text))
	if start && countMarks(text) > 0 {
		c.quoted++
	}
	if !c.inHeader {
		c.body += int64(len(text))
	}
	if c.ended = text[len(text)-1] == '\n'; !c.ended {
		return
	}
	c.lines++
	if !c.inHeader {
		c.inBody++
	}
	if bytes.HasSuffix(text, []byte("\r\n")) {
		c.crlf++
		c.onlyCRLF = c.onlyCRLF && !bytes.HasSuffix(text, []byte("\r\r\n"))
	}
	c.inHeader = c.inHeader && !(start && isBlank(text))
}

// form returns how the message is stored, and what a reader cannot restore of it.
func (c *counts) form(v Variant) Form {
	f := Form{Size: c.octets, body: c.body, toLF: c.onlyCRLF && c.lines == c.crlf}
	if f.toLF {
		f.body -= int64(c.inBody)
	}
	f.hasLineEnd = c.ended || v == CL2 && !c.inHeader
	if c.lines > 0 && c.crlf == 0 {
		f.Loss = append(f.Loss, "its lines end in LF alone, and come back with CRLF")
	}
	if !f.hasLineEnd {
		f.Loss = append(f.Loss, "its last line has no end, and gets one")
	}
	if v == O && c.quoted > 0 {
		f.Loss = append(f.Loss, "it has lines that begin with >From, which mboxo can't tell from those that it marks")
	}
	return f
}

// Write writes a message that was measured for the same variant, and that r reads
// again.
func Write(w io.Writer, v Variant, e Envelope, f Form, r io.Reader) error {
	if _, err := io.WriteString(w, fileHeader(v, e, f)); err != nil {
		return err
	}
	header := true
	for l := newLineReader(r); ; {
		text, start, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if start && isMarked(v, countMarks(text), header) {
			if _, err := io.WriteString(w, ">"); err != nil {
				return err
			}
		}
		header = header && !(start && isBlank(text))
		if f.toLF && bytes.HasSuffix(text, []byte("\r\n")) {
			text = append(text[:len(text)-2], '\n')
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	end := "\n"
	if !f.hasLineEnd {
		end = "\n\n"
	}
	_, err := io.WriteString(w, end)
	return err
}

// isMarked reports whether a variant puts a ">" before a line. marks is the result
// of countMarks for the line.
func isMarked(v Variant, marks int, inHeader bool) bool {
	switch {
	case marks == 0:
		return v != CL2 || inHeader
	case marks > 0:
		return v == RD || v == CL2 && inHeader
	}
	return false
}

// statusFlags and xstatusFlags are the letters of Status and X-Status.
var (
	statusFlags  = []letter{{'R', `\Seen`}}
	xstatusFlags = []letter{{'A', `\Answered`}, {'F', `\Flagged`}, {'T', `\Draft`}, {'D', `\Deleted`}}
)

// IsKeyword reports whether a keyword can stand in a list of keywords: it is visible, and
// has no space and no line end, which would write fields or messages of its own.
func IsKeyword(keyword string) bool {
	return keyword != "" && utf8.ValidString(keyword) && !strings.ContainsFunc(keyword, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}

type letter struct {
	octet byte
	flag  string
}

// fileHeader returns the From_ line and the fields of the mbox.
func fileHeader(v Variant, e Envelope, f Form) string {
	sender := e.Sender
	if sender == "" || strings.ContainsFunc(sender, func(r rune) bool { return r <= ' ' || r > '~' }) { // Python's mailbox module requires ASCII
		sender = "MAILER-DAEMON"
	}
	letters := func(of []letter) (out string) {
		for _, l := range of {
			if slices.ContainsFunc(e.Flags, func(flag string) bool { return strings.EqualFold(flag, l.flag) }) {
				out += string(l.octet)
			}
		}
		return out
	}
	var keywords []string
	for _, flag := range e.Flags {
		if !strings.HasPrefix(flag, `\`) && IsKeyword(flag) {
			keywords = append(keywords, flag)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From %s %s\n", sender, e.Date.UTC().Format(time.ANSIC))
	fmt.Fprintf(&b, "Status: %sO\nX-Status: %s\n", letters(statusFlags), letters(xstatusFlags))
	if e.Base != nil {
		fmt.Fprintf(&b, "X-IMAPbase: %010d %010d %s\n", e.Base.UIDValidity, 0, strings.Join(slices.DeleteFunc(slices.Clone(e.Base.Keywords), func(k string) bool { return !IsKeyword(k) }), " "))
	}
	if v == CL2 {
		fmt.Fprintf(&b, "Content-Length: %d\n", f.body)
	}
	fmt.Fprintf(&b, "X-Keywords: %s\n", strings.Join(keywords, " "))
	return b.String()
}
