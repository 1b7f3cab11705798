package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxWordLength is the length of a word in characters. The rest of a longer word is
// ignored, in messages and in queries.
const maxWordLength = 64

// textBorder is a word that no query can contain. It separates the texts of a column:
// no phrase matches across it.
const textBorder = "¶"

// wordFolder splits text into words. It belongs to one goroutine.
type wordFolder struct {
	caser   cases.Caser
	letters *strings.Replacer
}

func newWordFolder() *wordFolder {
	return &wordFolder{cases.Fold(), strings.NewReplacer(
		// Letters that Unicode does not decompose, with their usual replacements.
		"ı", "i", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "þ", "th", "æ", "ae", "œ", "oe")}
}

// fold removes compatibility forms (NFKD), accents and case from s. Full case folding
// makes ß ss; a few letters without a decomposition are replaced. Turkish İ and ı
// become i.
func (f *wordFolder) fold(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && (unicode.Is(unicode.Cf, r) || isAccent(r)) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	return norm.NFC.String(f.letters.Replace(f.caser.String(s)))
}

// isAccent reports whether r is a mark that people omit when they type: marks above,
// below and through a letter, and the points of Hebrew and Arabic. Marks that make
// another letter (voiced kana, the vowels of Indic scripts and Thai) have other
// combining classes and are not accents.
func isAccent(r rune) bool {
	if !unicode.Is(unicode.Mn, r) {
		return false
	}
	ccc := norm.NFKD.PropertiesString(string(r)).CCC()
	return ccc == 1 || 10 <= ccc && ccc <= 36 || ccc >= 200
}

// appendWords appends the words of s to b, each with a space after it.
func (f *wordFolder) appendWords(b *strings.Builder, s string) {
	for i := 0; i < len(s); {
		if !isWordOctet(s[i]) {
			i++
			continue
		}
		j, ascii := i, true
		for ; j < len(s) && isWordOctet(s[j]); j++ {
			ascii = ascii && s[j] < utf8.RuneSelf
		}
		if ascii {
			appendASCIIWord(b, s[i:min(j, i+maxWordLength)])
		} else {
			appendFoldedWords(b, f.fold(s[i:j]))
		}
		i = j
	}
}

// isWordOctet reports whether an octet can be part of a word: an ASCII letter or digit,
// or an octet of a longer character. Other ASCII characters always separate words: the
// marks that could follow them are accents, which are removed.
func isWordOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= utf8.RuneSelf
}

// appendASCIIWord appends a word of ASCII letters and digits in lower case. Nearly all
// words are of this kind, and folding them takes much longer.
func appendASCIIWord(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b.WriteByte(c)
	}
	b.WriteByte(' ')
}

// appendFoldedWords appends the words of a folded text.
func appendFoldedWords(b *strings.Builder, s string) {
	length := 0 // of the current word, in characters
	endWord := func() {
		if length > 0 {
			b.WriteByte(' ')
			length = 0
		}
	}
	for _, r := range s {
		switch {
		case unicode.Is(unspacedScripts, r) && (unicode.IsLetter(r) || unicode.IsMark(r)):
			endWord()
			b.WriteRune(r)
			b.WriteByte(' ')
		case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsNumber(r):
			if length++; length <= maxWordLength {
				b.WriteRune(r)
			}
		default:
			endWord()
		}
	}
	endWord()
}

// unspacedScripts has the blocks of the scripts without spaces between words.
var unspacedScripts = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0e00, 0x0eff, 1}, // Thai, Lao
		{0x1000, 0x109f, 1}, // Burmese
		{0x1100, 0x11ff, 1}, // Hangul
		{0x1780, 0x17ff, 1}, // Khmer
		{0x2e80, 0x2fdf, 1}, // Han radicals
		{0x3005, 0x3007, 1}, // Han iteration marks, zero
		{0x3021, 0x3035, 1}, // Hangzhou numerals, kana repeat marks
		{0x3040, 0x318f, 1}, // kana, Bopomofo, Hangul
		{0x31a0, 0x31ff, 1}, // Bopomofo, strokes, kana
		{0x3400, 0x4dbf, 1}, // Han
		{0x4e00, 0x9fff, 1}, // Han
		{0xa960, 0xa97f, 1}, // Hangul
		{0xac00, 0xd7ff, 1}, // Hangul
		{0xf900, 0xfaff, 1}, // Han
	},
	R32: []unicode.Range32{
		{0x1b000, 0x1b16f, 1}, // kana
		{0x20000, 0x3ffff, 1}, // Han
	},
}
