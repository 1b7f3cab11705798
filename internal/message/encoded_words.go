package message

import "strings"

// encodedWord is an encoded word (RFC 2047 2): =?charset?encoding?text?=
type encodedWord struct {
	charset  string
	encoding byte // B or Q
	text     string
}

// maxCharsetName is the longest name of a charset in an encoded word, in octets.
const maxCharsetName = 64

// decodeWords decodes the encoded words in s, wherever they stand: many are in
// places where they must not be, such as quotes. Words with one charset are put
// together before they are decoded, as some cut a character in two. unknown is
// the first charset in s that is not known, else empty.
func decodeWords(s string) (decoded, unknown string) {
	var out strings.Builder
	var open []byte // the octets of the words that stand before s
	charset := ""   // of them
	flush := func() {
		t, known, _ := toUTF8(open, charset, "")
		if !known && unknown == "" {
			unknown = charset
		}
		out.WriteString(t)
		open = open[:0]
	}
	// Without an end there is no word: looking once keeps this linear.
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
		// RFC 2047 6.2: white space between encoded words is not shown.
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

// cutWord parses s, which stands behind a "=?", and returns what follows the word.
func cutWord(s string) (w encodedWord, rest string, ok bool) {
	i := strings.IndexByte(s[:min(len(s), maxCharsetName)], '?')
	if i < 1 || strings.ContainsAny(s[:i], " \t=") || len(s) < i+3 || s[i+2] != '?' {
		return encodedWord{}, s, false
	}
	w = encodedWord{charset: strings.ToLower(s[:i]), encoding: s[i+1] &^ 0x20}
	w.text, rest, ok = strings.Cut(s[i+3:], "?=")
	return w, rest, ok && (w.encoding == 'B' || w.encoding == 'Q')
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
