package message

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeUTF7 decodes UTF-7 (RFC 2152). Charset libraries follow the browsers, which no
// longer support it, but old mail has it. Octets that are not UTF-7 are decoded with
// decodeOctets.
func decodeUTF7(b []byte) string {
	var out strings.Builder
	for len(b) > 0 {
		plus := 0
		for plus < len(b) && b[plus] != '+' {
			plus++
		}
		out.WriteString(decodeOctets(b[:plus]))
		if b = b[plus:]; len(b) < 2 {
			out.WriteString(string(b)) // a plus at the end, or nothing
			break
		}
		if b[1] == '-' {
			out.WriteByte('+')
			b = b[2:]
			continue
		}
		n := decodeShifted(&out, b[1:])
		if n == 0 {
			out.WriteByte('+')
		}
		if b = b[1+n:]; n > 0 && len(b) > 0 && b[0] == '-' {
			b = b[1:]
		}
	}
	return out.String()
}

// decodeShifted decodes the base64 of UTF-16 at the beginning of b and returns its
// length in octets.
func decodeShifted(out *strings.Builder, b []byte) (n int) {
	var bits, have uint32
	var high rune // a high surrogate without its low surrogate
	for ; n < len(b); n++ {
		v := base64Value(b[n])
		if v < 0 {
			break
		}
		bits = bits<<6 | uint32(v)
		if have += 6; have < 16 {
			continue
		}
		have -= 16
		r := rune(bits >> have & 0xffff)
		bits &= 1<<have - 1
		switch {
		case high != 0 && utf16.DecodeRune(high, r) != utf8.RuneError:
			out.WriteRune(utf16.DecodeRune(high, r))
			high = 0
			continue
		case high != 0:
			out.WriteRune(utf8.RuneError)
			high = 0
		}
		if 0xd800 <= r && r < 0xdc00 {
			high = r
			continue
		}
		out.WriteRune(r) // a low surrogate alone becomes U+FFFD
	}
	if high != 0 {
		out.WriteRune(utf8.RuneError)
	}
	return n
}
