package search

import (
	"fmt"
	"slices"
	"strings"
)

// maxPrefilter is how many places are gathered before the words are asked about.
const maxPrefilter = 50_000

// prefilter is a statement of the documents that can be meant at all, where these are
// few, and how many places these have; else empty. Without it a common word in a small
// mailbox would be looked at in every message that has it.
func (l *indexSearch) prefilter() (string, int, error) {
	best, least := "", maxPrefilter+1
	try := func(query string) error {
		n := 0
		err := l.tx.QueryRow(fmt.Sprintf("SELECT count(*) FROM (%s LIMIT %d)", query, least)).Scan(&n)
		if n < least {
			best, least = query, n
		}
		return err
	}
	var boxes []string
	total := 0
	for id, f := range l.mailboxes {
		total += f.placeCount
		boxes = append(boxes, fmt.Sprint(id))
	}
	if total < least {
		best, least = "SELECT doc FROM place WHERE box IN ("+strings.Join(boxes, ",")+")", total
	}
	if !l.Selection.At.IsZero() {
		return best, least, nil // the flags are those of then
	}
	for _, t := range l.Query.terms {
		if t.kind != flagKind {
			continue
		}
		ids, err := l.flagSetIDs(&t)
		if err != nil {
			return "", 0, err
		}
		if err := try("SELECT doc FROM place WHERE flags IN (" + ids + ")"); err != nil {
			return "", 0, err
		}
	}
	return best, least, nil
}

// flagSetIDs are the numbers of the sets of flags for which a term holds.
func (l *indexSearch) flagSetIDs(t *term) (string, error) {
	rows, err := l.tx.Query("SELECT id, text FROM flags")
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

// minSecond is the earliest second that the query and the selection mean.
func (l *indexSearch) minSecond() (int64, bool) {
	from, ok := int64(noDate), false
	if !l.Selection.After.IsZero() {
		from, ok = l.Selection.After.Unix(), true
	}
	for _, t := range l.Query.terms {
		if t.kind == afterKind && !t.negated || t.kind == beforeKind && t.negated {
			from, ok = max(from, t.time.Unix()), true
		}
	}
	return from, ok
}

// endSecond is the second behind the last that they mean.
func (l *indexSearch) endSecond() (int64, bool) {
	to, ok := int64(1)<<40, false
	if !l.Selection.Before.IsZero() {
		to, ok = l.Selection.Before.Unix()+1, true
	}
	for _, t := range l.Query.terms {
		if t.kind == beforeKind && !t.negated || t.kind == afterKind && t.negated {
			to, ok = min(to, t.time.Unix()+1), true
		}
	}
	return to, ok
}
