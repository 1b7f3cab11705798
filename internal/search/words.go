package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// maxWordLength is the characters of a word that count: what is longer is no word of a
// language, and is found by its first 64.
const maxWordLength = 64

// textBorder is a word that no query has. It stands between two texts of a column, so
// that no phrase reaches from one into the other.
const textBorder = "¶"

// wordFolder makes words of text. It belongs to one goroutine.
type wordFolder struct {
	caser   cases.Caser
	letters *strings.Replacer
}

func newWordFolder() *wordFolder {
	return &wordFolder{cases.Fold(), strings.NewReplacer(
		// What Unicode does not decompose, and people type without.
		"ı", "i", "ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "þ", "th", "æ", "ae", "œ", "oe")}
}

// fold folds s: compatibility forms (NFKD), accents, full case folding, so that
// ß is ss; then a few letters that have no decomposition. Turkish İ and ı are i.
func (f *wordFolder) fold(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf && (unicode.Is(unicode.Cf, r) || isAccent(r)) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	return norm.NFC.String(f.letters.Replace(f.caser.String(s)))
}

// isAccent says whether r is a mark that people leave out when they type: those
// above, below and through a letter, and the points of Hebrew and Arabic. The
// marks that make another letter of it (voiced kana, the vowels of India and Thai)
// have other combining classes and stay.
func isAccent(r rune) bool {
	if !unicode.Is(unicode.Mn, r) {
		return false
	}
	ccc := norm.NFKD.PropertiesString(string(r)).CCC()
	return ccc == 1 || 10 <= ccc && ccc <= 36 || ccc >= 200
}

// appendWords appends each word of s and a space behind it.
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

// isWordOctet says whether an octet may be of a word: a letter or digit of ASCII's, or
// of a longer character. No mark binds to the others once accents are away.
func isWordOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= utf8.RuneSelf
}

// appendASCIIWord appends a word of ASCII: the short way, for nearly all of them.
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

// appendFoldedWords appends the words of folded text.
func appendFoldedWords(b *strings.Builder, s string) {
	n := 0 // characters of the word that is open
	end := func() {
		if n > 0 {
			b.WriteByte(' ')
			n = 0
		}
	}
	for _, r := range s {
		switch {
		case unicode.Is(unspacedScripts, r) && (unicode.IsLetter(r) || unicode.IsMark(r)):
			end()
			b.WriteRune(r)
			b.WriteByte(' ')
		case unicode.IsLetter(r), unicode.IsMark(r), unicode.IsNumber(r):
			if n++; n <= maxWordLength {
				b.WriteRune(r)
			}
		default:
			end()
		}
	}
	end()
}

// unspacedScripts are the blocks of the scripts without spaces between words.
var unspacedScripts = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x0e00, 0x0eff, 1}, // Thai, Lao
		{0x1000, 0x109f, 1}, // Burmese
		{0x1100, 0x11ff, 1}, // Hangul
		{0x1780, 0x17ff, 1}, // Khmer
		{0x2e80, 0x2fdf, 1}, // radicals
		{0x3005, 0x3007, 1},
		{0x3021, 0x3035, 1},
		{0x3040, 0x318f, 1}, // kana, Bopomofo, Hangul
		{0x31a0, 0x31ff, 1},
		{0x3400, 0x4dbf, 1}, // Han
		{0x4e00, 0x9fff, 1},
		{0xa960, 0xa97f, 1}, // Hangul
		{0xac00, 0xd7ff, 1},
		{0xf900, 0xfaff, 1}, // Han
	},
	R32: []unicode.Range32{
		{0x1b000, 0x1b16f, 1}, // kana
		{0x20000, 0x3ffff, 1}, // Han
	},
}
