package search

import (
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/pattern"
)

// Query is what messages are searched for: all of its terms must hold. It does
// not change, and any number of goroutines may use it.
type Query struct {
	text  string
	terms []term
}

// String is the query as it was written.
func (q *Query) String() string { return q.text }

// termKind is what a term is about.
type termKind int

const (
	wordsKind termKind = iota // of the octets
	largerKind
	smallerKind
	attachmentKind
	afterKind // of a place
	beforeKind
	flagKind
	mailboxKind
	accountKind
)

// term is a condition, or with not its contrary.
type term struct {
	kind    termKind
	negated bool
	columns []column  // of words: any of these; nil: of all
	words   string    // folded, with a space between two
	prefix  bool      // the last word is only the beginning of one
	size    int64     // octets
	time    time.Time // of INTERNALDATE
	pattern string    // folded: a flag, or a pattern of LIST
}

// isAboutPlace says whether the term is about a place, not the octets.
func (t *term) isAboutPlace() bool { return t.kind >= afterKind }

// needs says what of a message must be read: nothing, its header, or all.
func (q *Query) needs() (header, text bool) {
	for _, t := range q.terms {
		switch {
		case t.kind == attachmentKind, t.kind == wordsKind && (t.columns == nil || slices.Max(t.columns) > messageIDColumn):
			text = true
		case t.kind == wordsKind:
			header = true
		}
	}
	return header || text, text
}

// matchesMailbox says whether the terms about mailboxes hold for one. Its name is
// matched with its own delimiter, and with a slash.
func (q *Query) matchesMailbox(n archive.Name) bool {
	return q.allMatch(mailboxKind, func(t *term) bool {
		return t.matchesName(n.Mailbox, n.Delimiter) || n.Delimiter != "/" && t.matchesName(strings.Join(n.Levels(), "/"), "/")
	})
}

// matchesAccount says whether the terms about accounts hold for one.
func (q *Query) matchesAccount(account string) bool {
	return q.allMatch(accountKind, func(t *term) bool { return t.matchesName(account, "") })
}

// matchesFlags says whether the terms about flags hold.
func (q *Query) matchesFlags(flags []string) bool {
	return q.allMatch(flagKind, func(t *term) bool { return slices.ContainsFunc(flags, t.matchesFlag) })
}

// allMatch says whether every term of a kind holds, or does not where it must not.
func (q *Query) allMatch(k termKind, holds func(*term) bool) bool {
	for i := range q.terms {
		if t := &q.terms[i]; t.kind == k && holds(t) == t.negated {
			return false
		}
	}
	return true
}

func (t *term) matchesName(name, delimiter string) bool {
	return pattern.Match(t.pattern, newWordFolder().fold(name), delimiter)
}

// matchesFlag compares without case (RFC 9051 2.3.2), and without a backslash where
// none was written.
func (t *term) matchesFlag(flag string) bool {
	return strings.EqualFold(flag, t.pattern) || strings.EqualFold(strings.TrimPrefix(flag, `\`), t.pattern)
}

// matchesDate says whether the terms about INTERNALDATE hold. Without one none does, nor
// its contrary.
func (q *Query) matchesDate(date time.Time) bool {
	for _, k := range []termKind{afterKind, beforeKind} {
		if !q.allMatch(k, func(t *term) bool {
			if date.IsZero() {
				return t.negated
			}
			return date.Before(t.time) == (k == beforeKind)
		}) {
			return false
		}
	}
	return true
}
