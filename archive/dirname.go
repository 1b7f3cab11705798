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

// Escape returns the directory name of an account of that name.
func Escape(account string) string { return escapeLevel(account) }

// Unescape returns the level of a mailbox name, or the account, that a directory of
// that name stands for. It is the inverse of Escape, except that the end of a name that
// was cut off is lost. A name that Escape can't have made is returned as it is.
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

// maxDirName is the most octets of a directory name. File systems allow 255; the rest
// is left to programs that copy files and add suffixes of their own.
const maxDirName = 200

// escapeLevel returns the directory name of one level of a mailbox name. Every level
// has one, and no two levels have the same. A level that is not in Unicode's
// normalisation form C gets a hash: a file system that normalises names would otherwise
// give two levels one directory.
func escapeLevel(c string) string {
	e := escapeOctets(c, func(rune) bool { return false })
	if len(e) > maxDirName || e == "" || !norm.NFC.IsNormalString(e) {
		return withHash(c, e)
	}
	return e
}

// escapeRawLevel is escapeLevel for a level of a Name with Raw.
func escapeRawLevel(c string) string {
	e := escapeOctets(c, func(r rune) bool { return r == '&' || r > unicode.MaxASCII })
	if len(e) > maxDirName || e == "" || strings.ContainsFunc(c, func(r rune) bool { return r > unicode.MaxASCII }) {
		return withHash("raw\x00"+c, e)
	}
	return e
}

// withHash returns e, cut if it is too long, with a hash of c at its end: it tells c
// from every other level whose directory might be called e.
func withHash(c, e string) string {
	sum := sha256.Sum256([]byte(c))
	tail := "%~" + hex.EncodeToString(sum[:8])
	if most := maxDirName - len(tail); len(e) > most {
		e = e[:most]
		for !utf8.ValidString(e) {
			e = e[:len(e)-1]
		}
		// no part of an escape may remain
		if i := strings.LastIndexByte(e, '%'); i >= 0 && i > len(e)-3 {
			e = e[:i]
		}
	}
	return e + tail
}

// splitHash splits a name into the part before the hash and the hash.
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

// escapeOctets replaces with %XX every octet that can't or shouldn't be in a file name,
// and the octets of the runes for which also is true.
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

// unescapeOctets replaces each %XX with its octet. ok is false if a % is not followed by
// two digits or escapeOctets would not have escaped the octet.
func unescapeOctets(e string) (level string, ok bool) {
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

// escapable are the printable ASCII octets that may be escaped in a directory name. The
// dot is among them although escapeOctets escapes it only at both ends.
const escapable = `/\%<>:"|?*. ~`

// escapeOctet returns %XX for an octet.
func escapeOctet(o byte) string {
	const digits = "0123456789ABCDEF"
	return string([]byte{'%', digits[o>>4], digits[o&15]})
}

// isIgnorable reports whether a file system that folds names may ignore the rune.
func isIgnorable(r rune) bool {
	return r > unicode.MaxASCII && (unicode.In(r, unicode.Cf, unicode.Variation_Selector,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Zl, unicode.Zp) || r == 0x034F)
}

// foldKey returns the same key for two names that some file system may take for one:
// by full or simple case folding, in any normalisation form.
func foldKey(name string) string {
	if !strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return strings.ToLower(name)
	}
	fold := cases.Fold()
	for range 3 { // folding and normalising can each change what the other has made
		name = norm.NFKD.String(fold.String(strings.ToLower(strings.ToUpper(name))))
	}
	// Full folding keeps the dot of the dotted capital I, simple folding drops it.
	return strings.ReplaceAll(name, "\u0307", "")
}
