package mbox

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
)

// ErrNotMbox is returned when a file does not begin as an mbox does.
var ErrNotMbox = errors.New("no mbox: it does not begin with a From_ line")

// Options say how to read an mbox.
type Options struct {
	// Variant is how lines are marked. If it is empty, Content-Length counts where
	// it leads to the end of a message, and all else is mboxrd.
	Variant Variant
	// KeepLineEnds leaves messages without any CRLF as they are. Otherwise they are
	// taken as stored with Unix line ends, and read with CRLF.
	KeepLineEnds bool
}

// Message is a message of an mbox.
type Message struct {
	Offset   int64     // where its From_ line begins
	Date     time.Time // in the From_ line, UTC if it has no zone; zero: none
	Flags    []string  // sorted
	HasFlags bool      // the mbox stores flags; else Flags is empty

	r                    io.ReaderAt
	options              Options
	start, end           int64 // offsets of its octets, without the empty line after it
	cuts                 []cut // fields that belong to the mbox
	hasBlock, usesLength bool  // has the block that Write writes; its Content-Length is right
}

// cut is a part of a message, as offsets, that belongs to the mbox.
type cut struct{ from, to int64 }

// Is reports whether a file with that beginning is an mbox.
func Is(beginning []byte) bool {
	line, _, _ := bytes.Cut(bytes.TrimLeft(beginning, "\r\n"), []byte("\n"))
	return bytes.HasPrefix(line, []byte("From ")) && fromLine().Match(line)
}

// Scan yields the messages of an mbox of size octets. An error ends it; the error
// is ErrNotMbox if the file does not begin as an mbox.
func Scan(r io.ReaderAt, size int64, o Options) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		l := newLineReader(io.NewSectionReader(r, 0, size))
		text, _, err := l.next()
		for err == nil && isBlank(text) {
			text, _, err = l.next()
		}
		if err == io.EOF {
			return // an empty mailbox
		}
		if err == nil && !bytes.HasPrefix(text, []byte("From ")) {
			err = ErrNotMbox
		}
		if err != nil {
			yield(nil, err)
			return
		}
		date, _ := parseFrom(text)
		for first, at := true, l.off-int64(len(text)); ; first = false {
			m := &Message{Offset: at, Date: date, r: r, options: o}
			s := scan{message: m, size: size, lines: l}
			if err := s.findEnd(); err != nil {
				yield(nil, err)
				return
			}
			if !(first && s.isInternal) && !yield(m, nil) || s.last {
				return
			}
			l, at, date = s.lines, s.next, s.date
		}
	}
}

// scan finds the end of one message.
type scan struct {
	message *Message
	size    int64
	lines   *lineReader // after the From_ line; at the end, after the next one

	last       bool // there is no next message
	next       int64
	date       time.Time
	isInternal bool // no message but the data of a server

	fields fields
}

// findEnd reads up to the next From_ line or the end of the mbox.
func (s *scan) findEnd() error {
	m := s.message
	m.start = s.lines.off
	s.fields.message = m
	header, empty := true, int64(-1) // empty: where the previous line began if it was empty, else -1
	for {
		text, start, err := s.lines.next()
		if err == io.EOF {
			s.last = true
			m.end = s.lines.off
			break
		}
		if err != nil {
			return err
		}
		at := s.lines.off - int64(len(text))
		if !start {
			continue
		}
		if date, ok := parseFrom(text); ok || empty >= 0 && isBareFrom(text) {
			s.next, s.date, m.end = at, date, at
			break
		}
		if isBlank(text) {
			if empty = at; !header {
				continue
			}
			header = false
			s.fields.end(at)
			if done, err := s.jumpToEnd(at); done || err != nil {
				return err
			}
			continue
		}
		if empty = -1; header {
			s.fields.line(text, at)
		}
	}
	if header {
		s.fields.end(m.end)
	}
	if empty >= 0 {
		m.end = empty
	}
	s.applyFields()
	return nil
}

// applyFields sets what the header says about the message.
func (s *scan) applyFields() {
	s.isInternal = s.fields.isInternal()
	s.fields.apply()
}

// jumpToEnd skips to the end that a Content-Length claims, if a message ends there.
// The empty line that ends the header begins at offset at.
func (s *scan) jumpToEnd(at int64) (done bool, err error) {
	n, body := s.fields.length, s.lines.off
	if n < 0 || n > s.size-body || !s.fields.hasBlock() && s.message.options.Variant != "" && s.message.options.Variant != CL2 {
		return false, nil
	}
	end := body + n
	next := newLineReader(io.NewSectionReader(s.message.r, end, s.size-end))
	text, _, err := next.next()
	gap := false
	if err == nil && isBlank(text) {
		gap = true
		text, _, err = next.next()
	}
	switch date, ok := parseFrom(text); {
	case err == io.EOF:
		s.last = true
	case err != nil:
		return false, err
	case !ok:
		return false, nil
	default:
		s.next, s.date = end+next.off-int64(len(text)), date
	}
	next.off += end
	if n == 0 && !gap { // the line that ends the header also separates the messages
		end = at
	}
	s.lines, s.message.end, s.message.usesLength = next, end, true
	s.applyFields()
	return true, nil
}

// parseOctets parses a number of octets; -1 if it is none.
func parseOctets(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}
