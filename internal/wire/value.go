package wire

import (
	"bytes"
	"strings"
)

// kind is the syntax of a value.
type kind byte

const (
	none kind = iota
	atom
	text // quoted string or literal
	list
)

// value is one value of a reply. octets are those of the atom or string, or what
// stands between the parentheses of the list.
type value struct {
	kind   kind
	octets []byte
}

func (v value) isNil() bool { return v.kind == atom && strings.EqualFold(string(v.octets), "NIL") }

// number is the value of an atom of digits.
func (v value) number() (uint64, bool) {
	if v.kind != atom {
		return 0, false
	}
	return number(v.octets)
}

// cursor reads a reply whose literals are in place, "{3}\r\nabc". It is tolerant: a
// token is whatever stands between spaces and parentheses.
type cursor struct{ b []byte }

func (c *cursor) space() { c.b = bytes.TrimLeft(c.b, " ") }

// value reads the next value. Its kind is none at the end, at a closing parenthesis,
// and where a string or list does not end or nests too deeply.
func (c *cursor) value() value {
	c.space()
	if len(c.b) == 0 || c.b[0] == ')' {
		return value{}
	}
	if c.b[0] == '(' {
		n := listLength(c.b)
		if n == 0 {
			return value{}
		}
		v := value{list, c.b[1 : n-1]}
		c.b = c.b[n:]
		return v
	}
	if content, n, ok := stringAt(c.b); ok {
		c.b = c.b[n:]
		return value{text, content}
	}
	if c.b[0] == '"' {
		return value{}
	}
	i := bytes.IndexAny(c.b, " ()")
	if i < 0 {
		i = len(c.b)
	}
	v := value{atom, c.b[:i]}
	c.b = c.b[i:]
	return v
}

// key reads the name of a FETCH item: "UID", "BODY[HEADER.FIELDS (TO)]<0>".
func (c *cursor) key() []byte {
	c.space()
	end := 0
	for depth := 0; end < len(c.b); end++ {
		switch b := c.b[end]; {
		case b == '[':
			depth++
		case b == ']' && depth > 0:
			depth--
		case depth == 0 && (b == ' ' || b == '(' || b == ')'):
			key := c.b[:end]
			c.b = c.b[end:]
			return key
		}
	}
	key := c.b
	c.b = nil
	return key
}

// listLength is the length of the list at the start of b, parentheses
// included; 0 if it does not end or nests too deeply.
func listLength(b []byte) int {
	depth := 0
	for i := 0; i < len(b); {
		switch b[i] {
		case '(':
			if depth++; depth > maxNesting {
				return 0
			}
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '{', '~':
			if prev := b[i-1]; prev == ' ' || prev == '(' || prev == ')' {
				if _, n, ok := stringAt(b[i:]); ok {
					i += n
					continue
				}
			}
		}
		i++
	}
	return 0
}

// stringAt reads the quoted string or literal at the start of b; length is how many
// octets of b it takes (RFC 9051 4.3).
func stringAt(b []byte) (content []byte, length int, ok bool) {
	if b[0] == '"' {
		return quotedAt(b)
	}
	head := bytes.TrimPrefix(b, []byte{'~'})
	if len(head) == 0 || head[0] != '{' {
		return nil, 0, false
	}
	// readLiterals puts no longer number here.
	digits, _, found := bytes.Cut(head[1:min(len(head), 24)], []byte("}\r\n"))
	n, isNumber := number(digits)
	if !found || !isNumber {
		return nil, 0, false
	}
	start := len(b) - len(head) + 1 + len(digits) + len("}\r\n")
	if n > uint64(len(b)-start) {
		return nil, 0, false
	}
	end := start + int(n)
	return b[start:end], end, true
}

func quotedAt(b []byte) (content []byte, length int, ok bool) {
	escaped := false
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if !escaped {
				return b[1:i], i + 1, true
			}
			return unescape(b[1:i]), i + 1, true
		}
	}
	return nil, 0, false
}

func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+1 < len(b) {
			i++
		}
		out = append(out, b[i])
	}
	return out
}
