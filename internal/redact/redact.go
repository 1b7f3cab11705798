// Package redact removes a password from texts that its server, or a program that
// handles it, has sent: a server may send back what it was sent, in another form.
//
// It finds the password in any case, as it is, quoted or escaped in the usual ways,
// percent-encoded, in hexadecimal digits, in modified UTF-7, and in base64 alone or
// within other text, as SASL sends it. It does not find a part of a password, nor one
// that was deliberately disguised in another way.
package redact

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"archiverd/internal/utf7"
)

// Mark is what stands in the place of a password.
const Mark = "***"

// maxText is how many octets of a text are looked at; the rest is cut off. Twice the
// longest form of the password are looked at in any case.
const maxText = 64 << 10

// Redactor removes one password. It is not changed once it is made, and a nil one
// removes nothing.
type Redactor struct {
	forms   []string // folded, longest first
	longest int
}

// New returns a Redactor for a password, nil if that is empty.
func New(username, password string) *Redactor {
	if password == "" {
		return nil
	}
	plain := []string{password, strings.TrimSpace(password), strings.ToUpper(password), strings.ToLower(password), norm.NFC.String(password), norm.NFD.String(password), norm.NFKC.String(password)}
	var forms []string
	for _, p := range plain {
		forms = append(forms, p)
		forms = append(forms, escaped(p)...)
	}
	for _, p := range []string{password, "\x00" + username + "\x00" + password, username + "\x00" + username + "\x00" + password} {
		forms = append(forms, base64.RawStdEncoding.EncodeToString([]byte(p)), base64.RawURLEncoding.EncodeToString([]byte(p)))
	}
	forms = append(forms, withinBase64(password)...)
	r := &Redactor{}
	for _, form := range forms {
		if folded, _ := fold(form); folded != "" {
			r.forms = append(r.forms, folded)
			r.longest = max(r.longest, len(folded))
		}
	}
	slices.SortFunc(r.forms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	r.forms = slices.Compact(r.forms)
	return r
}

// escaped returns the forms in which programs quote a text.
func escaped(p string) []string {
	unquoted := func(s string) string { return s[1 : len(s)-1] }
	forms := []string{
		strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(p), // RFC 9051 9, quoted
		unquoted(strconv.Quote(p)), unquoted(strconv.QuoteToASCII(p)),
		html.EscapeString(p), url.QueryEscape(p), url.PathEscape(p),
		utf7.Encode(p), hex.EncodeToString([]byte(p)),
		eachOctet(p, "%%%02x", nil), eachOctet(p, "=%02x", nil), eachOctet(p, `\x%02x`, nil), eachOctet(p, `\%03o`, nil),
		eachOctet(p, "=%02x", isPlain), eachOctet(p, `\x%02x`, isPlain), eachOctet(p, `\%03o`, isPlain),
	}
	if text, err := json.Marshal(p); err == nil {
		forms = append(forms, unquoted(string(text)))
	}
	return forms
}

// isPlain reports whether quoted-printable and the like leave an octet as it is.
func isPlain(b byte) bool { return ' ' <= b && b <= '~' && b != '=' && b != '\\' }

// eachOctet writes each octet of p by a format, but those for which keep is true.
func eachOctet(p, format string, keep func(byte) bool) string {
	var out strings.Builder
	for i := range len(p) {
		if keep != nil && keep(p[i]) {
			out.WriteByte(p[i])
		} else {
			fmt.Fprintf(&out, format, p[i])
		}
	}
	return out.String()
}

// minWithin is how many characters of base64 must be the password's alone: fewer occur in
// any text.
const minWithin = 6

// withinBase64 returns what the base64 of every text with p in it contains: three forms,
// by where p begins in a group of three octets, without the characters that depend on
// what stands around p.
func withinBase64(p string) []string {
	var forms []string
	for shift := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + p))
		first := (shift*8 + 5) / 6 // the characters that have bits of what stands before
		last := (shift + len(p)) * 8 / 6
		if last-first >= minWithin {
			form := text[first:last]
			forms = append(forms, form, strings.NewReplacer("+", "-", "/", "_").Replace(form))
		}
	}
	return forms
}

// Text returns s with Mark in the place of each form of the password. A text over 64 KiB
// is cut.
func (r *Redactor) Text(s string) string {
	if r == nil {
		return s
	}
	s = r.cut(s)
	folded, offsets := fold(s)
	for _, form := range r.forms {
		if strings.Contains(folded, form) {
			s = replace(s, form, folded, offsets)
			folded, offsets = fold(s)
		}
	}
	return s
}

// cut returns the part of s that is looked at.
func (r *Redactor) cut(s string) string { return s[:min(len(s), max(maxText, 2*r.longest))] }

// Finds reports whether Text would remove a password from s.
func (r *Redactor) Finds(s string) bool {
	if r == nil {
		return false
	}
	folded, _ := fold(r.cut(s))
	return slices.ContainsFunc(r.forms, func(form string) bool { return strings.Contains(folded, form) })
}

// replace returns s, which folds to folded, with Mark in the place of what folds to form.
func replace(s, form, folded string, offsets []int) string {
	var out strings.Builder
	rest := 0 // the offset in s of what is not yet written
	for at := 0; ; {
		i := strings.Index(folded[at:], form)
		if i < 0 {
			break
		}
		out.WriteString(s[rest:offsets[at+i]])
		out.WriteString(Mark)
		at += i + len(form)
		rest = offsets[at]
	}
	out.WriteString(s[rest:])
	return out.String()
}

// fold returns s such that texts that differ in case alone are equal, and for each octet
// of it, and its end, the offset in s of the character that it is of. Octets that are no
// UTF-8 stay.
func fold(s string) (folded string, offsets []int) {
	out := make([]byte, 0, len(s))
	offsets = make([]int, 0, len(s)+1)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			out = append(out, s[i])
		} else {
			out = utf8.AppendRune(out, foldRune(r))
		}
		for len(offsets) < len(out) {
			offsets = append(offsets, i)
		}
		i += size
	}
	return string(out), append(offsets, len(s))
}

// foldRune returns the first of the characters that differ from r in case alone.
func foldRune(r rune) rune {
	first := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		first = min(first, next)
	}
	return first
}
