// Package fingerprint holds what two copies of a message are compared by when
// they need not be equal octet by octet: its header, its octets in a canonical
// form, the fields that identify it, and the traits that servers are known to
// change. It decides nothing about a match; it only says what is alike.
package fingerprint

import (
	"bytes"
	"io"
)

// MaxHeader is how many octets of a header are read to compare it.
const MaxHeader = 1 << 20

// SplitHeader returns the header at the start of a message's octets, up to its
// first empty line, without the line ends behind it. ended reports whether that
// line is there. plain reports whether all servers take the same octets for the
// header: if not, only whole messages can be compared.
func SplitHeader(octets []byte) (header []byte, ended, plain bool) {
	plain = true
	for rest := octets; ; {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		text := bytes.TrimSuffix(line, []byte{'\r'})
		first := len(rest) == len(octets)
		if len(text) == 0 {
			return TrimHeader(octets[:len(octets)-len(rest)]), found, plain && found && !first
		}
		if folded := text[0] == ' ' || text[0] == '\t'; bytes.ContainsAny(text, "\r\x00") || folded && first || !folded && !isField(text) {
			plain = false
		}
		if !found {
			return TrimHeader(octets), false, false
		}
		rest = after
	}
}

// isField reports whether a line begins with a field name and a colon (RFC 5322 2.2).
func isField(line []byte) bool {
	name, _, found := bytes.Cut(line, []byte{':'})
	return found && len(name) > 0 && bytes.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// TrimHeader returns a header without the line ends behind it: servers differ in
// whether the empty line belongs to it.
func TrimHeader(header []byte) []byte { return bytes.TrimRight(header, "\r\n") }

// ReadHeader reads the header of a message; plain is as in SplitHeader. For a header of
// more than MaxHeader octets it returns no header and false. The error is that of r.
func ReadHeader(r io.Reader) (header []byte, plain bool, err error) {
	var b bytes.Buffer
	for {
		_, err := io.CopyN(&b, r, int64(max(16<<10, b.Len())))
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		header, ended, plain := SplitHeader(b.Bytes())
		if ended || err == io.EOF {
			return header, plain, nil
		}
		if b.Len() > MaxHeader {
			return nil, false, nil
		}
	}
}
