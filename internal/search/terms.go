package search

import (
	"fmt"
	"strings"
)

// documentQuery is a query's terms about octets, as a statement of the index: the
// documents for which they hold, the newest first.
type documentQuery struct {
	idColumn   string // what is the number of a document
	tables     string
	conditions []string
	args       []any
}

func (s *documentQuery) where(format string, args ...any) {
	s.conditions = append(s.conditions, fmt.Sprintf(format, args...))
}

func (s *documentQuery) String() string {
	text := "SELECT doc.id, doc.sum, doc.size FROM " + s.tables
	if len(s.conditions) > 0 {
		text += " WHERE " + strings.Join(s.conditions, " AND ")
	}
	return text + " ORDER BY " + s.idColumn + " DESC"
}

// documentQuery makes one of the terms about octets. Documents without words in the
// index are not in it.
func (q *Query) documentQuery() *documentQuery {
	var must, mustNot []string
	s := &documentQuery{idColumn: "doc.id", tables: "doc"}
	s.where("doc.read")
	for _, t := range q.terms {
		cond := ""
		switch t.kind {
		case wordsKind:
			if t.negated {
				mustNot = append(mustNot, t.ftsExpression())
			} else {
				must = append(must, t.ftsExpression())
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
		if t.negated {
			cond = "NOT (" + cond + ")"
		}
		s.where("%s", cond)
	}
	switch {
	case len(must) > 0:
		// FTS5 first, by descending number: so it stops where nobody asks on.
		s.idColumn, s.tables = "words.rowid", "words CROSS JOIN doc ON doc.id = words.rowid"
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

// ftsExpression is the term in FTS5's language. Its words hold letters, digits and marks
// only, so that quotes are all they need.
func (t *term) ftsExpression() string {
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
