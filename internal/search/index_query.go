package search

import (
	"fmt"
	"strings"
)

// documentQuery is a SELECT of the documents in the index for which a query's terms
// about octets hold, in descending order of their numbers.
type documentQuery struct {
	idColumn   string // the column with the document's number
	tables     string
	conditions []string
	args       []any
}

// documentQuery returns the query's terms about octets as SQL. It selects only documents
// that have words in the index.
func (q *Query) documentQuery() *documentQuery {
	var must, mustNot []string
	s := &documentQuery{idColumn: "doc.id", tables: "doc"}
	s.where("doc.read")
	for _, t := range q.terms {
		condition := ""
		switch t.kind {
		case wordsKind:
			if t.negated {
				mustNot = append(mustNot, t.ftsExpression())
			} else {
				must = append(must, t.ftsExpression())
			}
			continue
		case largerKind:
			condition = fmt.Sprintf("doc.size > %d", t.size)
		case smallerKind:
			condition = fmt.Sprintf("doc.size < %d", t.size)
		case attachmentKind:
			condition = "doc.attachment"
		default:
			continue
		}
		if t.negated {
			condition = "NOT (" + condition + ")"
		}
		s.where("%s", condition)
	}
	switch {
	case len(must) > 0:
		// FTS5 is the outer loop and yields descending numbers: it computes only the
		// rows that are fetched.
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

// where adds a condition.
func (s *documentQuery) where(format string, args ...any) {
	s.conditions = append(s.conditions, fmt.Sprintf(format, args...))
}

// String returns the SQL; its parameters are s.args. The columns are number, SHA-256
// and size.
func (s *documentQuery) String() string {
	text := "SELECT doc.id, doc.sum, doc.size FROM " + s.tables
	if len(s.conditions) > 0 {
		text += " WHERE " + strings.Join(s.conditions, " AND ")
	}
	return text + " ORDER BY " + s.idColumn + " DESC"
}

// ftsExpression returns a term of words as an FTS5 expression. The words have only
// letters, digits and marks: quotes are enough to escape them.
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
