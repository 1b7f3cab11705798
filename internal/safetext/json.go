package safetext

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
)

// WriteJSON writes v to w as indented JSON and a line end, in one write. The JSON has no
// character that could change what a terminal shows.
func WriteJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := io.WriteString(w, escapeJSON(b.String()))
	return err
}

// escapeJSON returns equal JSON without the characters that Text would escape:
// encoding/json does not escape DEL, C1 and bidirectional controls.
func escapeJSON(s string) string {
	i := unsafeAt(s, "\n\t\r")
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	var prev rune
	for _, r := range s {
		switch {
		case visible(r, prev) || strings.ContainsRune("\n\t\r", r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
			r = 0
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
			r = 0
		}
		prev = r
	}
	return b.String()
}
