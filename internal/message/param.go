package message

import (
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"archiverd/internal/safetext"
)

// params are the parameters of a Content-Type or Content-Disposition, undecoded and
// without quotes. The keys are in lower case.
type params map[string]string

// parseParams splits a field's value into its first word, in lower case, and its
// parameters (RFC 2045 5.1). It accepts faults that are common in mail: unquoted values
// with spaces or 8-bit octets, quotes that are not closed, Windows paths. Of equal names
// the first counts.
func parseParams(s string) (value string, ps params) {
	ps = params{}
	value, s = cutParam(s)
	value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
	for s != "" {
		var param string
		param, s = cutParam(s)
		name, v, ok := strings.Cut(param, "=")
		name = strings.ToLower(strings.TrimSpace(name))
		if _, double := ps[name]; ok && !double {
			ps[name] = unquoteParam(strings.TrimSpace(v))
		}
	}
	return strings.ToLower(value), ps
}

// cutParam cuts s at the first semicolon outside quotes and comments, and removes
// comments.
func cutParam(s string) (param, rest string) {
	var b strings.Builder
	quoted, comment := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted && i+1 < len(s):
			b.WriteByte(c)
			i++
		case c == '"' && comment == 0:
			quoted = !quoted
		case c == '(' && !quoted && (comment > 0 || i == 0 || s[i-1] == ' ' || s[i-1] == '\t'):
			comment++
		case c == ')' && comment > 0:
			comment--
			continue
		case c == ';' && !quoted:
			return b.String(), s[i+1:]
		}
		if comment == 0 {
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// unquoteParam removes the quotes and escapes of a quoted string.
func unquoteParam(s string) string {
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// get returns a decoded parameter: continuations and percent-encoding (RFC 2231), and
// encoded words, which are common although RFC 2047 5 forbids them.
func (ps params) get(name string) string {
	if v, ok := ps[name+"*"]; ok {
		return decodeExtended(v)
	}
	var b strings.Builder
	charset := ""
	for i := 0; ; i++ {
		key := name + "*" + strconv.Itoa(i)
		v, ok := ps[key]
		if ext, isExt := ps[key+"*"]; isExt {
			if i == 0 {
				charset, ext = cutCharset(ext)
			}
			v, ok = decodePercent(ext), true
		}
		if !ok {
			break
		}
		b.WriteString(v)
	}
	if b.Len() > 0 {
		s, _, _ := toUTF8([]byte(b.String()), charset, "")
		s, _ = decodeWords(s)
		return s
	}
	s, _ := decodeWords(decodeOctets([]byte(ps[name])))
	return s
}

// boundary returns the undecoded octets of the boundary of a multipart, "" if there is
// none.
func (ps params) boundary() string {
	b, ok := ps["boundary"]
	if !ok {
		b = ps.get("boundary") // continued, as RFC 2231 3 allows
	}
	return strings.TrimRight(b, " \t\r")
}

// decodeExtended decodes an extended value (RFC 2231 4).
func decodeExtended(v string) string {
	charset, v := cutCharset(v)
	s, _, _ := toUTF8([]byte(decodePercent(v)), charset, "")
	return s
}

// cutCharset splits charset'language'value (RFC 2231 4).
func cutCharset(v string) (charset, value string) {
	charset, rest, ok := strings.Cut(v, "'")
	if _, value, both := strings.Cut(rest, "'"); ok && both {
		return charset, value
	}
	return "", v
}

// decodePercent decodes percent-encoded octets; other octets stay.
func decodePercent(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexDigit(s[i+1]) >= 0 && hexDigit(s[i+2]) >= 0 {
			b.WriteByte(byte(hexDigit(s[i+1])<<4 | hexDigit(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// isMediaType reports whether s is a media type (RFC 2045 5.1).
func isMediaType(s string) bool {
	main, sub, ok := strings.Cut(s, "/")
	return ok && isToken(main) && isToken(sub) && len(s) <= 127
}

// isToken reports whether s is a token (RFC 2045 5.1).
func isToken(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' || strings.IndexByte(`()<>@,;:\"/[]?=`, s[i]) >= 0 {
			return false
		}
	}
	return s != ""
}

// isWindowsDevice reports whether Windows reserves a file name, given without what
// follows its first dot, for a device.
func isWindowsDevice(base string) bool {
	base = strings.ToUpper(strings.TrimSpace(base))
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && '0' <= base[3] && base[3] <= '9'
}

// maxFileName limits a file name, in octets. Every file system accepts such a name.
const maxFileName = 200

// fileName returns a name that is safe to create in a directory: the base name without
// control, format and invisible characters and those that Windows forbids. It does not
// begin or end with a dot, is no option of a command and no Windows device.
func fileName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && safetext.Line(string(r)) != string(r) || r < ' ' || r == 0x7f || strings.ContainsRune(`<>:"|?*`, r) {
			return '_'
		}
		return r
	}, s)
	s = strings.Trim(s, ". ")
	if base, _, _ := strings.Cut(s, "."); strings.HasPrefix(s, "-") || isWindowsDevice(base) {
		s = "_" + s
	}
	if len(s) > maxFileName {
		ext := path.Ext(s)
		if len(ext) > 20 {
			ext = ""
		}
		s = strings.TrimRight(cutUTF8(s, maxFileName-len(ext)), ". ") + ext
	}
	return s
}
