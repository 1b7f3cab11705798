package message

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// toUTF8 converts b from the named charset to valid UTF-8. known is false if the charset
// is unknown. If it is unknown, missing or wrong, b is returned as it is if it is valid
// UTF-8, else converted from the charset hint; if that fails too, the octets that are
// not UTF-8 are converted from Windows-1252. clean is false if the conversion had to
// guess.
func toUTF8(b []byte, name, hint string) (s string, known, clean bool) {
	known = true
	switch name = charsetName(name); name {
	case "":
		if isJapanese(b) {
			if s, ok := decodeCharset(b, "iso-2022-jp"); ok {
				return s, true, true
			}
		}
	case "us-ascii", "utf-8":
	default:
		if s, known = decodeCharset(b, name); known {
			return s, true, true
		}
	}
	if utf8.Valid(b) {
		return string(b), known, true
	}
	if hint = charsetName(hint); hint != "" && hint != "utf-8" && hint != "us-ascii" && name != "utf-8" {
		if s, ok := decodeCharset(b, hint); ok && !strings.ContainsRune(s, utf8.RuneError) {
			return s, known, false
		}
	}
	return decodeOctets(b), known, false
}

// decodeCharset converts b from a charset with a name of charsetName. ok is false if the
// charset is unknown.
func decodeCharset(b []byte, name string) (s string, ok bool) {
	switch name {
	case "utf-7":
		return decodeUTF7(b), true
	case "iso-2022-kr":
		t, err := korean.EUCKR.NewDecoder().Bytes(toEUCKR(b))
		return strings.ToValidUTF8(string(t), "\ufffd"), err == nil
	case "hz-gb-2312":
		t, err := simplifiedchinese.HZGB2312.NewDecoder().Bytes(b)
		return strings.ToValidUTF8(string(t), "\ufffd"), err == nil
	}
	r, err := charset.Reader(name, bytes.NewReader(b))
	if err != nil {
		return "", false
	}
	var t strings.Builder
	// A charset that the library knows but refuses decodes to "\ufffd" alone.
	if _, err = io.Copy(&t, r); err != nil || t.String() == "\ufffd" {
		return "", false
	}
	return strings.ToValidUTF8(t.String(), "\ufffd"), true
}

// charsetName returns the canonical name of a charset; "" for names that mean unknown.
func charsetName(name string) string {
	name, _, _ = strings.Cut(name, "*") // a language, RFC 2231 5
	switch name = strings.ToLower(strings.Trim(name, " \t\"'")); name {
	case "ascii", "ansi_x3.4-1968", "iso646-us":
		return "us-ascii"
	case "utf8", "utf_8", "unicode-1-1-utf-8", "x-utf-8":
		return "utf-8"
	case "iso-8859-1", "iso8859-1", "iso8859_1", "iso_8859-1", "8859-1", "latin1", "latin-1", "l1", "ansi", "cp1252":
		return "windows-1252" // a superset, except for C1 controls, and what senders mean
	case "cp932", "ms932", "x-sjis", "sjis", "shift-jis", "windows-31j":
		return "shift_jis"
	case "cp949", "ms949", "windows-949", "x-windows-949", "uhc", "ks_c_5601", "ks_c_5601-1987":
		return "euc-kr"
	case "x-gbk", "cp936", "ms936", "windows-936", "gb_2312-80", "gb2312":
		return "gbk"
	case "cp950", "big5-eten", "x-x-big5":
		return "big5"
	case "iso-2022-jp-1", "iso-2022-jp-2", "iso-2022-jp-3", "iso-2022-jp-2004", "iso-2022-jp-ms", "cp50220", "cp50221", "csiso2022jp":
		return "iso-2022-jp"
	case "hz", "hzgb":
		return "hz-gb-2312"
	case "utf7", "unicode-1-1-utf-7", "x-utf-7", "csunicode11utf7":
		return "utf-7"
	case "unicode", "ucs-2", "utf16":
		return "utf-16"
	case "8bit", "7bit", "none", "unknown", "unknown-8bit", "x-unknown", "x-user-defined", "default":
		return "" // written by programs that do not know the charset
	}
	if n, ok := strings.CutPrefix(name, "cp125"); ok && len(n) == 1 {
		return "windows-125" + n
	}
	if n, ok := strings.CutPrefix(name, "windows125"); ok && len(n) == 1 {
		return "windows-125" + n
	}
	return name
}

// isJapanese reports whether b has the escape sequences of ISO-2022-JP (RFC 1468).
func isJapanese(b []byte) bool {
	return bytes.IndexByte(b, 0x1b) >= 0 && (bytes.Contains(b, []byte("\x1b$B")) || bytes.Contains(b, []byte("\x1b$@"))) && bytes.Contains(b, []byte("\x1b("))
}

// toEUCKR converts ISO-2022-KR (RFC 1557) to EUC-KR. The octets between SO and SI are
// those of EUC-KR without the high bit.
func toEUCKR(b []byte) []byte {
	out := make([]byte, 0, len(b))
	shifted := false
	for b = bytes.ReplaceAll(b, []byte("\x1b$)C"), nil); len(b) > 0; b = b[1:] {
		switch c := b[0]; {
		case c == 0x0e:
			shifted = true
		case c == 0x0f:
			shifted = false
		case c == '\n':
			shifted = false
			out = append(out, c)
		case shifted && c > ' ':
			out = append(out, c|0x80)
		default:
			out = append(out, c)
		}
	}
	return out
}

// decodeOctets returns b as text: UTF-8 as it is, other octets as Windows-1252.
func decodeOctets(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var t strings.Builder
	t.Grow(len(b) + len(b)/8)
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(b[0])
		}
		t.WriteRune(r)
		b = b[size:]
	}
	return t.String()
}

// cutUTF8 returns at most the first n octets of s, without a partial character.
func cutUTF8(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
