// Package safetext makes text from a server, a mail or a file safe for a terminal or a
// log. Such text may contain escape sequences that rewrite the screen, line ends that
// forge a log line, bidirectional controls that reverse a name, and invalid UTF-8.
//
// Visible characters are not changed: letters of every script, combining marks,
// punctuation, symbols, emoji and spaces. Every other one is written as its escape in Go
// source:
//
//	\n \r \t              line ends and tabs
//	\x1b                  other C0 controls, DEL, octets that are not UTF-8
//	\u202e \U000e0041     C1 and bidirectional controls, all other format characters
//	                      (zero-width joiners too, so that joined emoji appear side
//	                      by side), line and paragraph separators,
//	                      default-ignorable, private and unassigned code points
//
// A variation selector for text or emoji (U+FE0E, U+FE0F) is not escaped directly after
// the visible character that it applies to.
//
// The output is valid UTF-8 without control and format characters. Making it safe again
// changes nothing. A backslash is therefore not doubled, and flags and paths stay
// readable; in return, the escapes can't be reversed. Right-to-left letters are not
// escaped: a terminal that reorders them does so within one line.
//
// Text that is safe already is returned without an allocation. JSON stays equal JSON.
package safetext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// Line returns s as one line: line ends and tabs are escaped as well.
func Line(s string) string { return safe(s, "") }

// Text returns s as text of several lines: line feeds and tabs are not escaped. A CRLF
// becomes a line feed, any other CR is escaped.
func Text(s string) string { return safe(s, "\n\t") }

// maxCluster is how many octets one character with its combining marks may have in the
// result of Cut. The longest in any living language has about 20.
const maxCluster = 64

// Cut returns Line(s) cut to at most width columns of a terminal. The last column is "…"
// if something was cut off. The result has at most 64 octets per column.
func Cut(s string, width int) string {
	s = Line(s)
	width = min(width, 2*len(s)) // an upper bound of the columns: the products below do not overflow
	if width <= 0 {
		return ""
	}
	columns, octets := 0, 0
	end := 0 // octets that fit before an ellipsis
	for rest, state := s, -1; rest != ""; {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		columns += w
		octets += len(cluster)
		if columns > width || len(cluster) > maxCluster || octets > maxCluster*width {
			return s[:end] + "…"
		}
		if columns < width && octets <= maxCluster*(width-1) {
			end = octets
		}
	}
	return s
}

// safe returns s with all runes escaped that are neither visible nor in keep.
func safe(s, keep string) string {
	i := unsafeAt(s, keep)
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	var prev rune
	if i > 0 {
		prev, _ = utf8.DecodeLastRuneInString(s[:i])
	}
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
			r = 0
		case visible(r, prev) || strings.ContainsRune(keep, r):
			b.WriteString(s[i : i+size])
		case r == '\r' && keep != "" && strings.HasPrefix(s[i+1:], "\n"):
			// The line feed follows.
		default:
			escape(&b, r)
			r = 0 // a variation selector after it has no visible character
		}
		prev = r
		i += size
	}
	return b.String()
}

// unsafeAt returns the offset of the first rune to escape, -1 if there is none.
func unsafeAt(s, keep string) int {
	var prev rune
	for i := 0; i < len(s); {
		r, size := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
		}
		if r == utf8.RuneError && size == 1 || !visible(r, prev) && !strings.ContainsRune(keep, r) {
			return i
		}
		prev = r
		i += size
	}
	return -1
}

// visible reports whether r is a visible character when it follows prev.
func visible(r, prev rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return ' ' <= r && r <= '~'
	case r == '\ufe0e' || r == '\ufe0f':
		return prev > ' ' && !unicode.Is(unicode.Variation_Selector, prev)
	}
	return unicode.IsGraphic(r) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// escape writes the escape of r.
func escape(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < utf8.RuneSelf:
		fmt.Fprintf(b, `\x%02x`, r)
	case r <= 0xffff:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}
