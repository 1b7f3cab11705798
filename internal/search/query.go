package search

import (
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/internal/config"
)

// Query is what messages are searched for: all of its terms must hold. It does
// not change, and any number of goroutines may use it.
type Query struct {
	text  string
	terms []term
}

// String is the query as it was written.
func (q *Query) String() string { return q.text }

// kind is what a term is about.
type kind int

const (
	wordsKind kind = iota // of the octets
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
	kind    kind
	not     bool
	columns []column  // of words: any of these; nil: of all
	words   string    // folded, with a space between two
	prefix  bool      // the last word is only the beginning of one
	size    int64     // octets
	time    time.Time // of INTERNALDATE
	text    string    // folded: a flag, or a pattern of LIST
}

// ofPlace says whether the term is about a place, not the octets.
func (t *term) ofPlace() bool { return t.kind >= afterKind }

// reads says what of a message must be read: nothing, its header, or all.
func (q *Query) reads() (header, text bool) {
	for _, t := range q.terms {
		switch {
		case t.kind == attachmentKind, t.kind == wordsKind && (t.columns == nil || slices.Max(t.columns) > ident):
			text = true
		case t.kind == wordsKind:
			header = true
		}
	}
	return header || text, text
}

// mailboxNamed says whether the terms about mailboxes hold for one. Its name is
// matched with its own delimiter, and with a slash.
func (q *Query) mailboxNamed(n archive.Name) bool {
	return q.all(mailboxKind, func(t *term) bool {
		return t.matches(n.Mailbox, n.Delimiter) || n.Delimiter != "/" && t.matches(strings.Join(n.Levels(), "/"), "/")
	})
}

// accountNamed says whether the terms about accounts hold for one.
func (q *Query) accountNamed(account string) bool {
	return q.all(accountKind, func(t *term) bool { return t.matches(account, "") })
}

// flagged says whether the terms about flags hold.
func (q *Query) flagged(flags []string) bool {
	return q.all(flagKind, func(t *term) bool { return slices.ContainsFunc(flags, t.isFlag) })
}

// all says whether every term of a kind holds, or does not where it must not.
func (q *Query) all(k kind, holds func(*term) bool) bool {
	for i := range q.terms {
		if t := &q.terms[i]; t.kind == k && holds(t) == t.not {
			return false
		}
	}
	return true
}

func (t *term) matches(name, delimiter string) bool {
	return config.Match(t.text, newFolder().string(name), delimiter)
}

// isFlag compares without case (RFC 9051 2.3.2), and without a backslash where
// none was written.
func (t *term) isFlag(flag string) bool {
	return strings.EqualFold(flag, t.text) || strings.EqualFold(strings.TrimPrefix(flag, `\`), t.text)
}

// dated says whether the terms about INTERNALDATE hold. Without one none does, nor
// its contrary.
func (q *Query) dated(date time.Time) bool {
	for _, k := range []kind{afterKind, beforeKind} {
		if !q.all(k, func(t *term) bool {
			if date.IsZero() {
				return t.not
			}
			return date.Before(t.time) == (k == beforeKind)
		}) {
			return false
		}
	}
	return true
}
