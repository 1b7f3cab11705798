package wire

import (
	"strings"

	"archiverd/internal/redact"
	"archiverd/internal/safetext"
)

// maxTextOctets bounds a server's text in an error.
const maxTextOctets = 300

// redactor returns what removes the password from a server's texts.
func (a Auth) redactor() *redact.Redactor { return redact.New(a.Username, string(a.Password)) }

func (s *serverState) setRedactor(r *redact.Redactor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redactor = r
}

// sanitize makes server text fit for an error: without the password, one safe line, at
// most maxTextOctets. The caller passes the whole text: in a text that was cut, a part of
// the password would not be found.
func (s *serverState) sanitize(text string) string {
	s.mu.Lock()
	r := s.redactor
	s.mu.Unlock()
	text = r.Text(text)
	if len(text) > 2*maxTextOctets {
		text = text[:2*maxTextOctets]
	}
	text = safetext.Line(text)
	if len(text) > maxTextOctets {
		text = strings.ToValidUTF8(text[:maxTextOctets-len("…")], "") + "…"
	}
	return text
}

// words returns the code and the text of a status response, sanitized. A password with a
// bracket in it is in neither of them, but in the line that both were cut out of.
func (s *serverState) words(st status) (code, text string) {
	s.mu.Lock()
	r := s.redactor
	s.mu.Unlock()
	whole := "[" + st.code + " " + st.args + "] " + st.text
	if st.line != "" {
		whole = st.line
	}
	if r.Finds(whole) && !r.Finds(st.code) && !r.Finds(st.args) && !r.Finds(st.text) {
		return "", s.sanitize(whole)
	}
	return s.sanitize(st.code), s.sanitize(st.text)
}
