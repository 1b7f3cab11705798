package fingerprint

import "strings"

// Traits counts what a server may not keep as it is in a message.
type Traits struct {
	BareLF  int // LF without a CR before it
	BareCR  int // CR without an LF behind it
	NUL     int
	Header8 int // 8-bit octets in the header
}

// Any reports whether a message has any of them.
func (t Traits) Any() bool { return t != Traits{} }

// String names those that a message has, for people.
func (t Traits) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{t.BareLF, "LF without CR"}, {t.BareCR, "CR without LF"}, {t.NUL, "NUL"}, {t.Header8, "8-bit octets in the header"}} {
		if p.n > 0 {
			parts = append(parts, p.what)
		}
	}
	return strings.Join(parts, ", ")
}

// TraitScanner counts the traits of what is written to it.
type TraitScanner struct {
	traits Traits
	last   byte
	line   int // octets of the line so far, without CRs of line ends
	inBody bool
}

// Write never fails.
func (s *TraitScanner) Write(p []byte) (int, error) {
	for _, b := range p {
		if s.last == '\r' && b != '\n' {
			s.traits.BareCR++
			s.line++
		}
		switch {
		case b == '\n':
			if s.last != '\r' {
				s.traits.BareLF++
			}
			s.inBody = s.inBody || s.line == 0
			s.line = 0
		case b == '\r':
		default:
			s.line++
			if b == 0 {
				s.traits.NUL++
			}
			if b >= 0x80 && !s.inBody {
				s.traits.Header8++
			}
		}
		s.last = b
	}
	return len(p), nil
}

// Traits returns the traits of what was written, taken for a whole message: a CR
// at its end is a bare one.
func (s *TraitScanner) Traits() Traits {
	t := s.traits
	if s.last == '\r' {
		t.BareCR++
	}
	return t
}
