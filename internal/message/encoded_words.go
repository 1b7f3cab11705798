package message

import "strings"

// encodedWord is an encoded word (RFC 2047 2): =?charset?encoding?text?=
type encodedWord struct {
	charset  string
	encoding byte // B or Q
	text     string
}

// maxCharsetName limits the name of a charset in an encoded word, in octets.
const maxCharsetName = 64

// decodeWords decodes the encoded words in s. Many are in places where RFC 2047 forbids
// them, such as quoted strings: they are decoded there too. Adjacent words with one
// charset are joined before the charset is converted, because some programs split a
// character between two words. unknown is the first unknown charset, "" if there is
// none.
func decodeWords(s string) (decoded, unknown string) {
	var out strings.Builder
	var open []byte // decoded octets of the words before s
	charset := ""   // charset of open
	flush := func() {
		t, known, _ := toUTF8(open, charset, "")
		if !known && unknown == "" {
			unknown = charset
		}
		out.WriteString(t)
		open = open[:0]
	}
	// After the last "?=" there is no word. To find it once keeps the loop linear.
	end := strings.LastIndex(s, "?=")
	for tail := len(s) - end; end >= 0 && len(s) >= tail; {
		i := strings.Index(s, "=?")
		if i < 0 {
			break
		}
		w, rest, ok := cutWord(s[i+2:])
		if !ok {
			flush()
			out.WriteString(s[:i+2])
			s = s[i+2:]
			continue
		}
		// RFC 2047 6.2: white space between encoded words is ignored.
		between := len(open) > 0 && strings.TrimSpace(s[:i]) == ""
		if !between || w.charset != charset {
			flush()
		}
		if !between {
			out.WriteString(s[:i])
		}
		open = append(open, w.decode()...)
		charset, s = w.charset, rest
	}
	flush()
	out.WriteString(s)
	return out.String(), unknown
}

// cutWord parses the word at the beginning of s, which follows a "=?", and returns the
// rest after it.
func cutWord(s string) (w encodedWord, rest string, ok bool) {
	i := strings.IndexByte(s[:min(len(s), maxCharsetName)], '?')
	if i < 1 || strings.ContainsAny(s[:i], " \t=") || len(s) < i+3 || s[i+2] != '?' {
		return encodedWord{}, s, false
	}
	w = encodedWord{charset: strings.ToLower(s[:i]), encoding: s[i+1] &^ 0x20}
	if w.encoding != 'B' && w.encoding != 'Q' { // before its end is looked for, which may be far away
		return encodedWord{}, s, false
	}
	w.text, rest, ok = strings.Cut(s[i+3:], "?=")
	return w, rest, ok
}

func (w encodedWord) decode() []byte {
	var d decoder = &base64Decoder{}
	text := w.text
	if w.encoding == 'Q' {
		d = &qpDecoder{}
		text = strings.ReplaceAll(text, "_", "=20") // RFC 2047 4.2 (2)
	}
	b := append([]byte(nil), d.decode([]byte(text))...)
	return append(b, d.end()...)
}
