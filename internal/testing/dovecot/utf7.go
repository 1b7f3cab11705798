package dovecot

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
)

// WireName returns a mailbox name in the modified UTF-7 of RFC 3501 5.1.3.
func WireName(mailbox string) string {
	var b strings.Builder
	var held []rune // not ASCII, not written yet
	flush := func() {
		if len(held) == 0 {
			return
		}
		var raw []byte
		for _, u := range utf16.Encode(held) {
			raw = append(raw, byte(u>>8), byte(u))
		}
		text := base64.RawStdEncoding.EncodeToString(raw)
		b.WriteString("&" + strings.ReplaceAll(text, "/", ",") + "-")
		held = held[:0]
	}
	for _, r := range mailbox {
		if r < ' ' || r > '~' {
			held = append(held, r)
			continue
		}
		flush()
		b.WriteRune(r)
		if r == '&' {
			b.WriteByte('-')
		}
	}
	flush()
	return b.String()
}
