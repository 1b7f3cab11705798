package imapd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// Fetch handles FETCH (RFC 9051 6.4.5) without the items that need MIME parsing.
func (s *session) Fetch(w *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	v, err := s.selected()
	if err != nil {
		return err
	}
	if o.Envelope || o.BodyStructure != nil || len(o.BinarySection) > 0 || len(o.BinarySectionSize) > 0 {
		return notSupported("ENVELOPE, BODYSTRUCTURE and BINARY are not supported")
	}
	peek := true
	for _, b := range o.BodySection {
		if len(b.Part) > 0 || b.Specifier == imap.PartSpecifierMIME {
			return notSupported("Body parts are not supported")
		}
		peek = peek && b.Peek
	}
	if !peek && !v.readOnly {
		v.store(set, func(flags []string) []string { return addFlags(flags, []string{`\Seen`}) }, false)
	}
	buf := make([]byte, 64<<10)
	for _, p := range v.pick(set) {
		if err := s.send(w.CreateMessage(p.seq), p, o, buf); err != nil {
			return fmt.Errorf("send UID %d: %w", p.uid, err)
		}
	}
	return nil
}

// send writes the FETCH response of one message and closes w. After an error it
// closes the connection: the response can't be completed.
func (s *session) send(w *imapserver.FetchResponseWriter, p picked, o *imap.FetchOptions, buf []byte) (err error) {
	defer func() {
		if err != nil {
			s.base.Close() // first, so that what w.Close writes is not taken for octets of the message
		}
		err = errors.Join(err, w.Close()) // always: w holds the lock of the connection
	}()
	if o.UID {
		w.WriteUID(imap.UID(p.uid))
	}
	if o.Flags {
		w.WriteFlags(toFlags(p.flags))
	}
	if o.InternalDate {
		w.WriteInternalDate(p.date)
	}
	if o.RFC822Size {
		w.WriteRFC822Size(p.size())
	}
	for _, b := range o.BodySection {
		r, err := section(p.reader(), b)
		if err != nil {
			return err
		}
		literal := w.WriteBodySection(b, r.Size())
		n, err := io.CopyBuffer(literal, r, buf)
		if err := errors.Join(err, literal.Close()); err != nil {
			return err
		}
		if b.Specifier == imap.PartSpecifierNone {
			s.server.bodies.Add(1)
			s.server.octets.Add(n)
		}
	}
	return nil
}

// section returns what a FETCH item selects of a message: all of it, its header
// with the empty line, or the text after it; some fields of the header; a partial
// range of that.
func section(r *io.SectionReader, b *imap.FetchItemBodySection) (*io.SectionReader, error) {
	if b.Specifier != imap.PartSpecifierNone {
		n, err := headerSize(r)
		if err != nil {
			return nil, err
		}
		if b.Specifier == imap.PartSpecifierText {
			r = io.NewSectionReader(r, n, r.Size()-n)
		} else {
			r = io.NewSectionReader(r, 0, n)
		}
	}
	if len(b.HeaderFields) > 0 || len(b.HeaderFieldsNot) > 0 {
		header, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		fields := headerFields(header, b.HeaderFields, b.HeaderFieldsNot)
		r = io.NewSectionReader(bytes.NewReader(fields), 0, int64(len(fields)))
	}
	if p := b.Partial; p != nil {
		from := min(p.Offset, r.Size())
		r = io.NewSectionReader(r, from, min(p.Size, r.Size()-from))
	}
	return r, nil
}

// headerSize returns the octets of the header with the empty line at its end, or of
// the whole message if it has no such line. Lines end in CRLF or LF.
func headerSize(r *io.SectionReader) (int64, error) {
	br := bufio.NewReader(io.NewSectionReader(r, 0, r.Size()))
	var n int64
	for start := true; ; {
		piece, err := br.ReadSlice('\n')
		n += int64(len(piece))
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil && err != bufio.ErrBufferFull:
			return 0, err
		case start && err == nil && len(bytes.TrimSuffix(piece[:len(piece)-1], []byte("\r"))) == 0:
			return n, nil
		}
		start = err == nil
	}
}

// headerFields returns the fields that are in named, or all that are not in not if named
// is empty, unchanged and in their order, and an empty line (RFC 9051 6.4.5).
func headerFields(header []byte, named, not []string) []byte {
	in := func(names []string, field []byte) bool {
		name, _, _ := bytes.Cut(field, []byte(":"))
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, string(bytes.TrimSpace(name))) })
	}
	var out []byte
	keep := false
	for line := range bytes.Lines(header) {
		if len(bytes.TrimRight(line, "\r\n")) == 0 {
			break
		}
		if line[0] != ' ' && line[0] != '\t' { // else the field continues
			keep = in(named, line) || len(named) == 0 && !in(not, line)
		}
		if keep {
			out = append(out, line...)
		}
	}
	return append(out, "\r\n"...)
}
