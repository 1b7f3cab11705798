package search

import (
	"slices"
	"strings"
	"time"

	"archiverd/internal/pattern"
)

// termKind is what a term is about. The kinds up to attachmentKind are about octets, the
// others about a place.
type termKind int

const (
	wordsKind termKind = iota
	largerKind
	smallerKind
	attachmentKind
	afterKind
	beforeKind
	flagKind
	mailboxKind
	accountKind
)

// term is one condition of a query.
type term struct {
	kind    termKind
	negated bool
	columns []column  // wordsKind: one of these must have the words; nil: any column
	words   string    // wordsKind: folded, with one space between two words
	prefix  bool      // wordsKind: the last word matches by its beginning
	size    int64     // largerKind, smallerKind: octets
	time    time.Time // afterKind, beforeKind
	pattern string    // flagKind: a flag; mailboxKind, accountKind: folded, with the wildcards of LIST
}

// isAboutPlace reports whether the term is about a place, not about octets.
func (t *term) isAboutPlace() bool { return t.kind >= afterKind }

// matchesDocument reports whether a term about octets holds for a document of a message
// of size octets, without regard to negated.
func (t *term) matchesDocument(d *document, size int64) bool {
	switch t.kind {
	case largerKind:
		return size > t.size
	case smallerKind:
		return size < t.size
	case attachmentKind:
		return d.attachment
	}
	phrase := " " + t.words
	if !t.prefix {
		phrase += " "
	}
	if t.columns == nil {
		return slices.ContainsFunc(d.words[:], func(words string) bool { return strings.Contains(words, phrase) })
	}
	return slices.ContainsFunc(t.columns, func(c column) bool { return strings.Contains(d.words[c], phrase) })
}

// matchesName reports whether the pattern matches the name of a mailbox or account.
func (t *term) matchesName(name, delimiter string) bool {
	return pattern.Match(t.pattern, newWordFolder().fold(name), delimiter)
}

// matchesFlag reports whether the pattern is a flag. Case does not matter (RFC 9051
// 2.3.2), and the backslash of a system flag may be omitted.
func (t *term) matchesFlag(flag string) bool {
	return strings.EqualFold(flag, t.pattern) || strings.EqualFold(strings.TrimPrefix(flag, `\`), t.pattern)
}
