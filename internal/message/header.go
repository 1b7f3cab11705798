package message

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"archiverd/internal/safetext"
)

// header is a header that is being read, of a message or a part.
type header struct {
	message bool // of a message: an mbox line, a byte order mark or blank lines may come before it
	started bool // a line that is not blank was read
	full    bool // a limit is reached: further fields are ignored
	fields  []rawField
	octets  int
}

// rawField is an undecoded field. Its lines are joined by one space.
type rawField struct {
	name  string
	value []byte
}

// get returns the value of the first field with a name, "" if there is none.
func (h *header) get(name string) string {
	for _, f := range h.firstNamed(name) {
		return string(f.value)
	}
	return ""
}

// expectsContinuation reports whether the last field ends in a semicolon. A line after it
// that is no field continues it, although its leading white space is missing.
func (h *header) expectsContinuation() bool {
	n := len(h.fields)
	return n > 0 && bytes.HasSuffix(h.fields[n-1].value, []byte(";"))
}

// firstNamed returns the first field with each of the names.
func (h *header) firstNamed(names ...string) (fields []rawField) {
	for _, name := range names {
		if i := slices.IndexFunc(h.fields, func(f rawField) bool { return strings.EqualFold(f.name, name) }); i >= 0 {
			fields = append(fields, h.fields[i])
		}
	}
	return fields
}

// headerLine handles a line in a header. A line that belongs to the body ends the header
// and is handled as the first line of the body.
func (p *parser) headerLine(ln line) error {
	h := p.header
	text := ln.text
	if !ln.first {
		p.addField("", text, false)
		return nil
	}
	if h.message && !h.started {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
		if isBlank(text) && p.nextIsField() {
			return nil
		}
		h.started = true
		if bytes.HasPrefix(text, []byte("From ")) || bytes.HasPrefix(text, []byte(">From ")) {
			return nil // the separator of an mbox file
		}
		text = bytes.TrimLeft(text, " \t")
	}
	switch name, value, ok := cutField(text); {
	case len(text) == 0:
		p.endHeader()
	case isBlank(text):
		if !p.headerContinues() {
			p.addProblem("white space in place of the empty line behind the header")
			p.endHeader()
		}
	case (text[0] == ' ' || text[0] == '\t') && len(h.fields) > 0:
		p.addField("", text, true)
	case ok:
		p.addField(name, value, false)
	case h.expectsContinuation() && !bytes.HasPrefix(text, []byte("--")):
		p.addField("", text, true)
	default:
		ln.text = bytes.Clone(ln.text) // peek invalidates the slices
		ln.eol = bytes.Clone(ln.eol)
		if bytes.HasPrefix(ln.text, []byte("--")) || !p.headerContinues() {
			p.addProblem("no empty line behind the header")
			return p.endHeaderBefore(ln)
		}
		p.addProblem("header line without a field name: %s", quote(string(ln.text)))
		p.addField("", ln.text, true)
	}
	return nil
}

// addField adds a field or, if name is "", continues the last one. folded means that
// value is a line of its own.
func (p *parser) addField(name string, value []byte, folded bool) {
	h := p.header
	h.octets += len(name) + len(value)
	switch {
	case h.full:
		return
	case h.octets > p.options.MaxHeaderOctets:
		p.addProblem("header of more than %d octets: the rest of it is left out", p.options.MaxHeaderOctets)
		h.full = true
		return
	case name != "" && len(h.fields) == p.options.MaxFields:
		p.addProblem("more than %d header fields: the others are left out", p.options.MaxFields)
		h.full = true
		return
	case name != "":
		h.fields = append(h.fields, rawField{decodeOctets([]byte(name)), bytes.Clone(bytes.Trim(value, " \t"))})
		return
	case len(h.fields) == 0:
		return
	}
	last := &h.fields[len(h.fields)-1]
	if folded {
		value = bytes.Trim(value, " \t")
		if len(last.value) > 0 && len(value) > 0 {
			last.value = append(last.value, ' ')
		}
	}
	last.value = append(last.value, value...)
}

// decodeFields returns the fields with their values decoded. Unknown charsets are
// problems.
func (p *parser) decodeFields(h *header) []Field {
	fields := make([]Field, 0, len(h.fields))
	for _, f := range h.fields {
		value, _, _ := toUTF8(f.value, "", p.charsetHint)
		value, unknown := decodeWords(value)
		if unknown != "" {
			p.addProblem("header field %s: unknown charset %s", quote(f.name), quote(unknown))
		}
		fields = append(fields, Field{f.name, strings.TrimSpace(value)})
	}
	return fields
}

// findCharsetHint sets charsetHint to the charset of a header's Content-Type or first
// encoded word. toUTF8 uses it for octets without a charset.
func (p *parser) findCharsetHint(h *header) {
	if p.charsetHint != "" {
		return
	}
	_, ps := parseParams(h.get("Content-Type"))
	if name := ps.get("charset"); !isUnicode(name) {
		p.charsetHint = name
		return
	}
	for _, f := range h.fields {
		if i := bytes.Index(f.value, []byte("=?")); i >= 0 {
			if w, _, ok := cutWord(string(f.value[i+2:])); ok && !isUnicode(w.charset) {
				p.charsetHint = w.charset
				return
			}
		}
	}
}

// isUnicode reports whether a charset is no hint for octets that are not UTF-8.
func isUnicode(name string) bool {
	name = charsetName(name)
	return name == "" || name == "us-ascii" || strings.HasPrefix(name, "utf-")
}

// cutField splits a line into a field's name and value. White space before the colon is
// obsolete syntax (RFC 5322 4.5). Octets over 127 in the name are accepted although no
// RFC allows them.
func cutField(text []byte) (name string, value []byte, ok bool) {
	n, value, ok := bytes.Cut(text, []byte(":"))
	n = bytes.TrimRight(n, " \t")
	if !ok || len(n) == 0 || bytes.HasPrefix(n, []byte("--")) {
		return "", nil, false
	}
	if bytes.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r == 0x7f }) && !isMailField(string(n)) {
		return "", nil, false
	}
	return string(n), value, true
}

// nextIsField reports whether the next line that is not blank is a field.
func (p *parser) nextIsField() bool {
	for b := p.lines.peek(); len(b) > 0; {
		var text []byte
		text, b = cutLine(b)
		if !isBlank(text) {
			_, _, ok := cutField(bytes.TrimLeft(text, " \t"))
			return ok
		}
	}
	return false
}

// maxLookaheads limits the calls of headerContinues that scan ahead, per message.
const maxLookaheads = 1000

// headerContinues reports whether a line that is no field is still part of the header:
// a usual field of mail comes before the next empty line.
func (p *parser) headerContinues() bool {
	if p.lookaheads++; p.lookaheads > maxLookaheads {
		return false
	}
	for b := p.lines.peek(); len(b) > 0; {
		var text []byte
		text, b = cutLine(b)
		if len(text) == 0 || bytes.HasPrefix(text, []byte("--")) {
			return false
		}
		if name, _, ok := cutField(text); ok && isMailField(name) {
			return true
		}
	}
	return false
}

// isMailField reports whether a name is that of a usual field of mail. Another line with
// a colon may be prose.
func isMailField(name string) bool {
	name = strings.ToLower(name)
	switch name {
	case "from", "to", "cc", "bcc", "subject", "date", "message-id", "mime-version", "received", "return-path",
		"reply-to", "sender", "references", "in-reply-to", "delivered-to", "dkim-signature", "authentication-results":
		return true
	}
	for _, prefix := range []string{"content-", "x-", "list-", "resent-", "arc-"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// isBlank reports whether a line has only white space.
func isBlank(text []byte) bool { return len(bytes.Trim(text, " \t\r")) == 0 }

// maxProblems limits the problems of a message.
const maxProblems = 100

// addProblem adds a problem, unless the message has one with the same text.
func (p *parser) addProblem(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if slices.Contains(p.message.Problems, s) {
		return
	}
	switch n := len(p.message.Problems); {
	case n < maxProblems-1:
		p.message.Problems = append(p.message.Problems, s)
	case n == maxProblems-1:
		p.message.Problems = append(p.message.Problems, "more problems than these")
	}
}

// quote shortens text of the message and makes it printable, for a problem.
func quote(s string) string { return safetext.Cut(s, 60) }
