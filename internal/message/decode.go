package message

import "strings"

// decoder decodes a Content-Transfer-Encoding (RFC 2045 6). It accepts octets in pieces
// of any size. A returned slice is valid until the next call.
type decoder interface {
	decode(p []byte) []byte
	end() []byte  // returns the octets that were held back
	broken() bool // octets were dropped or returned undecoded
}

// transferEncoding returns the name of the encoding in a header field, "" if the octets
// are not encoded.
func transferEncoding(field string) string {
	switch enc, _ := parseParams(field); enc {
	case "7bit", "8bit", "binary":
		return ""
	default:
		return strings.Trim(enc, `"`)
	}
}

// newDecoder returns the decoder for a transfer encoding, nil if it is unknown.
func newDecoder(enc string) decoder {
	switch enc {
	case "":
		return identity{}
	case "base64":
		return &base64Decoder{}
	case "quoted-printable":
		return &qpDecoder{}
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return &uuDecoder{}
	}
	return nil
}

// identity is the decoder of 7bit, 8bit and binary.
type identity struct{}

func (identity) decode(p []byte) []byte { return p }
func (identity) end() []byte            { return nil }
func (identity) broken() bool           { return false }

// base64Decoder decodes base64 (RFC 2045 6.8). It ignores octets outside the alphabet
// and continues after padding.
type base64Decoder struct {
	out  []byte
	bits uint32
	n    int // number of characters in bits, 0 to 3
	bad  bool
}

func (d *base64Decoder) decode(p []byte) []byte {
	d.out = d.out[:0]
	for _, c := range p {
		v := base64Value(c)
		switch {
		case v >= 0:
		case c == '=':
			d.flush()
			continue
		case c == '\r' || c == '\n' || c == ' ' || c == '\t':
			continue
		default:
			d.bad = true
			continue
		}
		d.bits = d.bits<<6 | uint32(v)
		if d.n++; d.n == 4 {
			d.out = append(d.out, byte(d.bits>>16), byte(d.bits>>8), byte(d.bits))
			d.bits, d.n = 0, 0
		}
	}
	return d.out
}

// base64Value returns what a character of the alphabet stands for, -1 for others.
func base64Value(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// flush appends the octets of an incomplete group of four.
func (d *base64Decoder) flush() {
	switch d.n {
	case 1:
		d.bad = true
	case 2:
		d.out = append(d.out, byte(d.bits>>4))
	case 3:
		d.out = append(d.out, byte(d.bits>>10), byte(d.bits>>2))
	}
	d.bits, d.n = 0, 0
}

func (d *base64Decoder) end() []byte {
	d.out = d.out[:0]
	d.bad = d.bad || d.n != 0
	d.flush()
	return d.out
}

func (d *base64Decoder) broken() bool { return d.bad }

// qpDecoder decodes quoted-printable (RFC 2045 6.7). Malformed escapes stay as they are.
type qpDecoder struct {
	out     []byte
	pending []byte // the beginning of an escape, or white space that may end the line
	bad     bool
}

// maxPending limits the white space that is held back, in octets.
const maxPending = 1024

func (d *qpDecoder) decode(p []byte) []byte {
	d.out = d.out[:0]
	for _, c := range p {
		if len(d.pending) > 0 && d.pending[0] == '=' && d.escape(c) {
			continue
		}
		switch {
		case c == '=':
			d.flushPending()
			d.pending = append(d.pending, c)
		case (c == ' ' || c == '\t') && len(d.pending) < maxPending:
			d.pending = append(d.pending, c)
		default:
			if c == '\r' || c == '\n' {
				d.pending = d.pending[:0] // RFC 2045 6.7 (3): white space at the end of a line was added in transport
			}
			d.flushPending()
			d.out = append(d.out, c)
		}
	}
	return d.out
}

// escape adds c to the pending escape. It returns false if c does not belong to it.
func (d *qpDecoder) escape(c byte) bool {
	last := d.pending[len(d.pending)-1]
	switch {
	case c == '\n' && (len(d.pending) == 1 || hexDigit(last) < 0):
		d.pending = d.pending[:0] // a soft line break
	case last == '\r':
		d.pending = d.pending[:0] // a soft line break with a bare CR; c belongs to the next line
		return false
	case c == '\r' && hexDigit(last) < 0, len(d.pending) == 1 && hexDigit(c) >= 0:
		d.pending = append(d.pending, c)
	case (c == ' ' || c == '\t') && hexDigit(last) < 0 && len(d.pending) < maxPending:
		d.pending = append(d.pending, c) // RFC 2045 6.7 (3) applies to soft line breaks too
	case len(d.pending) == 2 && hexDigit(last) >= 0 && hexDigit(c) >= 0:
		d.out = append(d.out, byte(hexDigit(last)<<4|hexDigit(c)))
		d.pending = d.pending[:0]
	default:
		d.bad = true
		d.flushPending()
		return false
	}
	return true
}

func (d *qpDecoder) flushPending() {
	d.out = append(d.out, d.pending...)
	d.pending = d.pending[:0]
}

func (d *qpDecoder) end() []byte {
	d.out = d.out[:0]
	if len(d.pending) == 2 && hexDigit(d.pending[1]) >= 0 {
		d.bad = true
		d.flushPending()
	}
	return d.out
}

func (d *qpDecoder) broken() bool { return d.bad }

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
