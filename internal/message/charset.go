package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
)

// toUTF8 returns b, in the named charset, as valid UTF-8. known is false if the
// charset is not known: then, and where there is no charset or b is not what it
// says, valid UTF-8 stays and every other octet is read as Windows-1252.
// clean is false if there were such octets.
func toUTF8(b []byte, name string) (s string, known, clean bool) {
	known = true
	switch name = charsetName(name); name {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
	default:
		r, err := charset.Reader(name, bytes.NewReader(b))
		if err == nil {
			var t strings.Builder
			// "\ufffd" alone is what a charset that is known but refused decodes to.
			if _, err = io.Copy(&t, r); err == nil && t.String() != "\ufffd" {
				return strings.ToValidUTF8(t.String(), "\ufffd"), true, true
			}
		}
		known = false
	}
	s, clean = octets(b)
	return s, known, clean
}

// charsetName brings the name of a charset into the form that the tables have.
func charsetName(name string) string {
	name, _, _ = strings.Cut(name, "*") // a language, RFC 2231 5
	switch name = strings.ToLower(strings.Trim(name, " \t\"'")); name {
	case "iso-8859-1", "latin1":
		return "windows-1252" // a superset but for C1 controls, and what is meant
	case "cp932":
		return "shift_jis"
	}
	return name
}

// octets returns b as text, and whether it is valid UTF-8 as it stands.
func octets(b []byte) (s string, valid bool) {
	if utf8.Valid(b) {
		return string(b), true
	}
	var t strings.Builder
	t.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		t.WriteRune(r)
		b = b[size:]
	}
	return t.String(), false
}

// cutUTF8 returns the first octets of s, at most n, without half a character.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
