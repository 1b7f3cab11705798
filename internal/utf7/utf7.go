// Package utf7 converts mailbox names from and to modified UTF-7 (RFC 3501 5.1.3), which
// IMAP4rev1 uses for mailbox names and Maildir for directories. Decoding a name and
// encoding it again returns the same octets.
package utf7

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// modified is the base64 of modified UTF-7, with "," for "/" and without padding. It
// encodes UTF-16BE between "&" and "-". Printable ASCII is not encoded; "&" is "&-".
var modified = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// ErrName is returned when a name is not in modified UTF-7.
var ErrName = errors.New("name is not in modified UTF-7")

// Decode decodes a name. The error is ErrName, also if Encode would return other octets
// for the result: a name has only one valid form.
func Decode(wire string) (string, error) {
	var b strings.Builder
	for rest := wire; rest != ""; {
		plain, shifted, found := strings.Cut(rest, "&")
		b.WriteString(plain)
		if !found {
			break
		}
		code, after, closed := strings.Cut(shifted, "-")
		if !closed {
			return "", ErrName
		}
		rest = after
		if code == "" {
			b.WriteByte('&')
			continue
		}
		octets, err := modified.DecodeString(code)
		if err != nil || len(octets)%2 != 0 {
			return "", ErrName
		}
		units := make([]uint16, len(octets)/2)
		for i := range units {
			units[i] = uint16(octets[2*i])<<8 | uint16(octets[2*i+1])
		}
		b.WriteString(string(utf16.Decode(units)))
	}
	name := b.String()
	if !utf8.ValidString(name) || Encode(name) != wire {
		return "", ErrName
	}
	return name, nil
}

// Encode encodes a name in UTF-8.
func Encode(name string) string {
	var b strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		var octets []byte
		for _, u := range utf16.Encode(shifted) {
			octets = append(octets, byte(u>>8), byte(u))
		}
		b.WriteString("&" + modified.EncodeToString(octets) + "-")
		shifted = shifted[:0]
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			shifted = append(shifted, r)
			continue
		}
		flush()
		if b.WriteRune(r); r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}
