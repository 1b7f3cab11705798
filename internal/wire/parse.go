package wire

import (
	"bytes"
	"strings"
)

// untagged is a reply without a tag: "* 12 FETCH (…)" or "* LIST …" (RFC 9051 7).
type untagged struct {
	number uint32 // 0 for none
	name   []byte
	rest   []byte
}

// parseUntagged takes an untagged reply apart. The name is empty if reply is not one.
func parseUntagged(reply []byte) untagged {
	var u untagged
	rest, ok := bytes.CutPrefix(reply, []byte("* "))
	if !ok {
		return u
	}
	u.name, u.rest = word(rest)
	if n, ok := number(u.name); ok && n <= 1<<32-1 {
		u.number = uint32(n)
		u.name, u.rest = word(u.rest)
	}
	return u
}

func (u untagged) is(name string) bool {
	return len(u.name) == len(name) && strings.EqualFold(string(u.name), name)
}

// isStatus says whether the reply is a status response: its text holds no literals.
func (u untagged) isStatus() bool {
	return u.is("OK") || u.is("NO") || u.is("BAD") || u.is("BYE") || u.is("PREAUTH")
}

// word cuts off what stands before the next space or list.
func word(b []byte) (first, rest []byte) {
	b = bytes.TrimLeft(b, " ")
	i := bytes.IndexAny(b, " (")
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i:]
}

// number reads decimal digits and nothing else, up to 2^63-1.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n uint64
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + uint64(d-'0')
	}
	return n, n <= 1<<63-1
}

// quote writes text as a quoted string; ok is false if it can't be one (RFC 9051 9).
func quote(text string) (quoted string, ok bool) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return "", false
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`, true
}
