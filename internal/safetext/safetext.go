// Package safetext is the one way by which text from a server, a mail or a file
// reaches a terminal or a log. Such text can hold escape sequences that rewrite
// the screen, line ends that forge a log line, bidirectional controls that turn
// a name around and octets that are no text at all.
//
// What can be seen stays as it is: letters of every script, combining marks,
// punctuation, symbols, emoji, spaces. Everything else is written as the escape
// that Go source would use for it:
//
//	\n \r \t              line ends and tabs
//	\x1b                  other C0 controls, DEL, octets that are not UTF-8
//	\u202e \U000e0041     C1 and bidirectional controls, all other format characters
//	                      (zero-width joiners too, so joined emoji stand side by
//	                      side), line and paragraph separators, default-ignorable,
//	                      private and unassigned code points
//
// A variation selector for text or emoji (U+FE0E, U+FE0F) stays behind the one
// visible character that it selects for.
//
// The output is valid UTF-8, holds no control or format character, and is a
// fixed point: making it safe again changes nothing. For that, and so that flags
// and paths read as they are, a backslash is not doubled: the escapes are for
// the eye and can't be turned back. Right-to-left letters stay too; a terminal
// that reorders them does so within the one line.
//
// Text that is safe already is returned as it is, without an allocation.
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

// Text returns s with its line feeds and tabs kept. A CRLF becomes a line feed,
// a CR elsewhere is escaped.
func Text(s string) string { return safe(s, "\n\t") }

// maxCluster is the octets that one character with all of its combining marks
// may take in a Cut: the longest in any living language has about 20.
const maxCluster = 64

// Cut returns Line(s) cut to at most width columns of a terminal, with "…" as
// the last of them if something was cut off. Its octets are bounded too, by 64
// for each column.
func Cut(s string, width int) string {
	s = Line(s)
	width = min(width, 2*len(s)) // no rune is wider: keeps the products below small
	if width <= 0 {
		return ""
	}
	columns, octets := 0, 0
	end := 0 // the octets that fit beside an ellipsis
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

// safe escapes all that is not visible and not in keep.
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
			r = 0 // no visible character, for a selector behind it
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

// visible says whether r, behind prev, shows as itself.
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
