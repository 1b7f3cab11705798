package archive

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Escape is the directory name for an account of that name.
func Escape(account string) string { return escapeLevel(account) }

// Unescape is the part of a mailbox's name for which a directory of that name stands:
// what component makes of it is undone. A name that cannot have been made from one
// stands for itself; of one that was cut the rest is lost.
func Unescape(dir string) string {
	if plain, mark, ok := splitHash(dir); ok {
		part := Unescape(plain)
		if withHash(part, "") == mark {
			return part
		}
		return part + strings.TrimPrefix(mark, "%")
	}
	if part, ok := unescapeOctets(dir); ok {
		return part
	}
	return dir
}

// maxDirName is the octets a directory name may have: 255 is what file
// systems take, less what a suffix and a copier's own additions need.
const maxDirName = 200

// escapeLevel maps one level of a mailbox name to a directory name: total, and
// injective also after case folding of nothing but the names themselves. What
// is not in Unicode's normal form C carries the suffix, so that a file system
// that normalises can't make two of them one.
func escapeLevel(c string) string {
	e := escapeOctets(c, func(rune) bool { return false })
	if len(e) > maxDirName || e == "" || !norm.NFC.IsNormalString(e) {
		return withHash(c, e)
	}
	return e
}

func escapeRawLevel(c string) string {
	e := escapeOctets(c, func(r rune) bool { return r == '&' || r > unicode.MaxASCII })
	if len(e) > maxDirName || e == "" || strings.ContainsFunc(c, func(r rune) bool { return r > unicode.MaxASCII }) {
		return withHash("raw\x00"+c, e)
	}
	return e
}

// withHash is e, shortened where it must be, with the mark that tells c from
// every other component that e might stand for.
func withHash(c, e string) string {
	sum := sha256.Sum256([]byte(c))
	tail := "%~" + hex.EncodeToString(sum[:8])
	if most := maxDirName - len(tail); len(e) > most {
		e = e[:most]
		for !utf8.ValidString(e) {
			e = e[:len(e)-1]
		}
		// never half an escape
		if i := strings.LastIndexByte(e, '%'); i >= 0 && i > len(e)-3 {
			e = e[:i]
		}
	}
	return e + tail
}

// splitHash splits the suffix from a name.
func splitHash(dir string) (plain, mark string, ok bool) {
	i := len(dir) - len("%~0123456789abcdef")
	if i < 0 || dir[i:i+2] != "%~" {
		return dir, "", false
	}
	if _, err := hex.DecodeString(dir[i+2:]); err != nil {
		return dir, "", false
	}
	return dir[:i], dir[i:], true
}

// escapeOctets writes %XX for every octet that can't or shouldn't stand in a file
// name, and for those of the runes that also says.
func escapeOctets(c string, also func(rune) bool) string {
	var b strings.Builder
	for i := 0; i < len(c); {
		r, n := utf8.DecodeRuneInString(c[i:])
		last := i+n == len(c)
		switch {
		case r == utf8.RuneError && n == 1,
			unicode.IsControl(r),
			isIgnorable(r),
			strings.ContainsRune(`/\%<>:"|?*`, r),
			r == '.' && (i == 0 || last),
			r == ' ' && last,
			also(r):
			for _, o := range []byte(c[i : i+n]) {
				b.WriteString(escapeOctet(o))
			}
		default:
			b.WriteString(c[i : i+n])
		}
		i += n
	}
	e := b.String()
	if isReserved(e) {
		_, n := utf8.DecodeRuneInString(e)
		first := ""
		for _, o := range []byte(e[:n]) {
			first += escapeOctet(o)
		}
		e = first + e[n:]
	}
	return e
}

// unescapeOctets reads each %XX as an octet. It is false where one is none, or stands for
// what has no need of it.
func unescapeOctets(e string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(e); i++ {
		if e[i] != '%' {
			b.WriteByte(e[i])
			continue
		}
		if i+3 > len(e) {
			return "", false
		}
		o, err := hex.DecodeString(e[i+1 : i+3])
		if err != nil || escapeOctet(o[0]) != e[i:i+3] ||
			i > 0 && o[0] > ' ' && o[0] < 0x7F && strings.IndexByte(escapable, o[0]) < 0 || o[0] == ' ' && i+3 < len(e) {
			return "", false
		}
		b.WriteByte(o[0])
		i += 2
	}
	return b.String(), true
}

// escapable are the octets beyond control characters and ASCII for which a %XX in a
// directory's name may stand; a dot stands for itself within a name, but not where
// other programs name directories.
const escapable = `/\%<>:"|?*. ~`

func escapeOctet(o byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'%', digits[o>>4], digits[o&15]})
}

// isIgnorable are the code points that a folding file system may overlook.
func isIgnorable(r rune) bool {
	return r > unicode.MaxASCII && (unicode.In(r, unicode.Cf, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Zl, unicode.Zp) || r == 0x034F)
}

// foldKey is equal for any two names that some file system may hold for one,
// by full or simple case folding, in any normal form.
func foldKey(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return strings.ToLower(name)
	}
	fold := cases.Fold()
	for range 3 { // folding and normalising each undo what the other settled
		name = norm.NFKD.String(fold.String(strings.ToLower(strings.ToUpper(name))))
	}
	// The dot of the dotted capital I: full folding keeps it, simple drops it.
	return strings.ReplaceAll(name, "\u0307", "")
}
