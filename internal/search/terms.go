package search

import (
	"fmt"
	"strings"
)

// statement is a query's terms about octets, as a statement of the index: the
// documents for which they hold, the newest first.
type statement struct {
	id    string // what is the number of a document
	table string
	conds []string
	args  []any
}

func (s *statement) where(format string, args ...any) {
	s.conds = append(s.conds, fmt.Sprintf(format, args...))
}

func (s *statement) String() string {
	text := "SELECT doc.id, doc.sum, doc.size FROM " + s.table
	if len(s.conds) > 0 {
		text += " WHERE " + strings.Join(s.conds, " AND ")
	}
	return text + " ORDER BY " + s.id + " DESC"
}

// statement makes one of the terms about octets. Documents without words in the
// index are not in it.
func (q *Query) statement() *statement {
	var must, mustNot []string
	s := &statement{id: "doc.id", table: "doc"}
	s.where("doc.read")
	for _, t := range q.terms {
		cond := ""
		switch t.kind {
		case wordsKind:
			if t.not {
				mustNot = append(mustNot, t.match())
			} else {
				must = append(must, t.match())
			}
			continue
		case largerKind:
			cond = fmt.Sprintf("doc.size > %d", t.size)
		case smallerKind:
			cond = fmt.Sprintf("doc.size < %d", t.size)
		case attachmentKind:
			cond = "doc.attachment"
		default:
			continue
		}
		if t.not {
			cond = "NOT (" + cond + ")"
		}
		s.where("%s", cond)
	}
	switch {
	case len(must) > 0:
		// FTS5 first, by descending number: so it stops where nobody asks on.
		s.id, s.table = "words.rowid", "words CROSS JOIN doc ON doc.id = words.rowid"
		match := strings.Join(must, " AND ")
		if len(mustNot) > 0 {
			match = "(" + match + ") NOT (" + strings.Join(mustNot, " OR ") + ")"
		}
		s.where("words MATCH ?")
		s.args = append(s.args, match)
	case len(mustNot) > 0:
		s.where("doc.id NOT IN (SELECT rowid FROM words WHERE words MATCH ?)")
		s.args = append(s.args, strings.Join(mustNot, " OR "))
	}
	return s
}

// match is the term in FTS5's language. Its words hold letters, digits and marks
// only, so that quotes are all they need.
func (t *term) match() string {
	var b strings.Builder
	if t.columns != nil {
		b.WriteString("{")
		for _, c := range t.columns {
			fmt.Fprintf(&b, " c%d", c)
		}
		b.WriteString(" } : ")
	}
	b.WriteString(`"` + t.words + `"`)
	if t.prefix {
		b.WriteString("*")
	}
	return "(" + b.String() + ")"
}
