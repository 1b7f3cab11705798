package search

import (
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// Query is a parsed query: a message matches if all of its terms hold. A Query is
// immutable, and any number of goroutines may use it.
type Query struct {
	text  string
	terms []term
}

// String returns the query as it was written.
func (q *Query) String() string { return q.text }

// Restrict returns s restricted to the messages that the query matches: it sets
// Mailbox and Match. Match reads messages from a, equal octets once.
func (q *Query) Restrict(a *archive.Archive, s history.Selection) history.Selection {
	cache := newMatchCache(a, q)
	mailbox, match := s.Mailbox, s.Match
	s.Mailbox = func(n archive.Name) bool {
		return (mailbox == nil || mailbox(n)) && q.matchesMailbox(n)
	}
	s.Match = func(b archive.MailboxDir, m *archive.Message) (bool, error) {
		if match != nil {
			if ok, err := match(b, m); !ok || err != nil {
				return false, err
			}
		}
		if !q.matchesAccount(b.Account) || !q.matchesFlags(m.Flags) || !q.matchesDate(m.InternalDate) {
			return false, nil
		}
		return cache.matches(b.ID(m), m.Sum, m.Size)
	}
	return s
}

// needs reports which parts of a message the terms about octets need: the header,
// the text or neither. Who needs the text needs the header too.
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

// matchesDocument reports whether the terms about octets hold for a document of a
// message of size octets. The document may lack the parts that [Query.needs] excludes.
func (q *Query) matchesDocument(d *document, size int64) bool {
	for i := range q.terms {
		if t := &q.terms[i]; !t.isAboutPlace() && t.matchesDocument(d, size) == t.negated {
			return false
		}
	}
	return true
}

// matchesMailbox reports whether the terms about mailboxes hold for n. A pattern
// matches the name with the mailbox's own delimiter or with a slash as delimiter.
func (q *Query) matchesMailbox(n archive.Name) bool {
	return q.allMatch(mailboxKind, func(t *term) bool {
		return t.matchesName(n.Mailbox, n.Delimiter) || n.Delimiter != "/" && t.matchesName(strings.Join(n.Levels(), "/"), "/")
	})
}

// matchesAccount reports whether the terms about accounts hold for the directory of one.
func (q *Query) matchesAccount(account string) bool {
	return q.allMatch(accountKind, func(t *term) bool { return t.matchesName(account, "") })
}

// matchesFlags reports whether the terms about flags hold.
func (q *Query) matchesFlags(flags []string) bool {
	return q.allMatch(flagKind, func(t *term) bool { return slices.ContainsFunc(flags, t.matchesFlag) })
}

// matchesDate reports whether the terms about INTERNALDATE hold. Without a date
// neither after: and before: nor their negations hold.
func (q *Query) matchesDate(date time.Time) bool {
	isBefore := func(t *term) bool { return date.Before(t.time) }
	isAfter := func(t *term) bool { return !isBefore(t) }
	if date.IsZero() {
		return !slices.ContainsFunc(q.terms, func(t term) bool { return t.kind == afterKind || t.kind == beforeKind })
	}
	return q.allMatch(beforeKind, isBefore) && q.allMatch(afterKind, isAfter)
}

// allMatch reports whether each term of a kind holds: matches returns true for it, or
// false if the term is negated.
func (q *Query) allMatch(k termKind, matches func(*term) bool) bool {
	for i := range q.terms {
		if t := &q.terms[i]; t.kind == k && matches(t) == t.negated {
			return false
		}
	}
	return true
}
