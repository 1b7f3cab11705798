package search

import (
	"fmt"
	"slices"
	"strings"
)

// maxPrefilter is the largest number of places that are collected before the words are
// searched.
const maxPrefilter = 50_000

// prefilter returns a SELECT of the documents that can match because of their mailbox or
// flags, and the number of their places; "" if there are more than maxPrefilter. Without
// it, searching a common word in a small mailbox would load the places of every message
// with that word.
func (x *indexSearch) prefilter() (string, int, error) {
	best, least := "", maxPrefilter+1
	var ids []string
	total := 0
	for id, m := range x.mailboxes {
		total += m.placeCount
		ids = append(ids, fmt.Sprint(id))
	}
	if total < least {
		best, least = "SELECT doc FROM place WHERE box IN ("+strings.Join(ids, ",")+")", total
	}
	if !x.Selection.At.IsZero() {
		return best, least, nil // table place has the present flags
	}
	for _, t := range x.Query.terms {
		if t.kind != flagKind {
			continue
		}
		sets, err := x.flagSetIDs(&t)
		if err != nil {
			return "", 0, err
		}
		query := "SELECT doc FROM place WHERE flags IN (" + sets + ")"
		n := 0
		if err := x.tx.QueryRow(fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d)", query, least)).Scan(&n); err != nil {
			return "", 0, err
		}
		if n < least {
			best, least = query, n
		}
	}
	return best, least, nil
}

// flagSetIDs returns the numbers in table flags for which a term about flags holds,
// separated by commas.
func (x *indexSearch) flagSetIDs(t *term) (string, error) {
	rows, err := x.tx.Query("SELECT id, text FROM flags")
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			return "", err
		}
		if slices.ContainsFunc(strings.Fields(text), t.matchesFlag) != t.negated {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ","), rows.Err()
}

// minSecond returns the first second of INTERNALDATE that the selection and the query
// allow; false if they allow any.
func (x *indexSearch) minSecond() (int64, bool) {
	from, ok := int64(noDate), false
	if !x.Selection.After.IsZero() {
		from, ok = x.Selection.After.Unix(), true
	}
	for _, t := range x.Query.terms {
		if t.kind == afterKind && !t.negated || t.kind == beforeKind && t.negated {
			from, ok = max(from, t.time.Unix()), true
		}
	}
	return from, ok
}

// endSecond returns the second after the last one that the selection and the query
// allow; false if they allow any.
func (x *indexSearch) endSecond() (int64, bool) {
	end, ok := int64(1)<<40, false
	if !x.Selection.Before.IsZero() {
		end, ok = x.Selection.Before.Unix()+1, true
	}
	for _, t := range x.Query.terms {
		if t.kind == beforeKind && !t.negated || t.kind == afterKind && t.negated {
			end, ok = min(end, t.time.Unix()+1), true
		}
	}
	return end, ok
}
