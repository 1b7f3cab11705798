package search

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"archiverd/archive"
)

// findNewestFirst finds the documents that are in order, the newest first, and stops
// when no older one can be among the newest Limit+1 results.
func (x *indexSearch) findNewestFirst(ctx context.Context) error {
	q := x.Query.documentQuery()
	if from, ok := x.minSecond(); ok {
		q.where("%s >= ?", q.idColumn)
		q.args = append(q.args, from<<secondBits)
	}
	if to, ok := x.endSecond(); ok {
		q.where("%s < ?", q.idColumn)
		q.args = append(q.args, to<<secondBits)
	}
	candidates, n, err := x.prefilter()
	if err != nil || n == 0 {
		return err
	}
	if candidates != "" {
		// The unary plus keeps SQLite from querying FTS5 once for each number.
		q.where("+%s IN (%s)", q.idColumn, candidates)
	}
	return x.eachDocument(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		if n := x.Limit + 1; x.Limit > 0 && len(x.newestSeconds) == n && x.newestSeconds[n-1] > id>>secondBits {
			return false, nil
		}
		if x.outOfOrder[id] {
			return true, nil
		}
		return true, x.addDocument(id, sum, size)
	})
}

// eachDocument calls fn for the documents of a query until it returns false or an error.
func (x *indexSearch) eachDocument(ctx context.Context, q *documentQuery, fn func(id int64, sum archive.Sum, size int64) (bool, error)) error {
	rows, err := x.tx.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, size int64
		var octets sql.RawBytes
		var sum archive.Sum
		if err := rows.Scan(&id, &octets, &size); err != nil {
			return err
		}
		copy(sum[:], octets)
		if ok, err := fn(id, sum, size); err != nil || !ok {
			return err
		}
	}
	return rows.Err()
}

// addDocument adds a document for which the terms about octets hold to the results, if
// one of its places matches.
func (x *indexSearch) addDocument(id int64, sum archive.Sum, size int64) error {
	r, err := x.withPlaces(id, sum, size)
	if r != nil {
		x.addResult(r)
	}
	return err
}

// addResult adds a result.
func (x *indexSearch) addResult(r *Result) {
	x.report.Results = append(x.report.Results, *r)
	if x.Limit > 0 {
		date := unixSeconds(r.Date)
		i, _ := slices.BinarySearchFunc(x.newestSeconds, date, func(a, b int64) int { return cmp.Compare(b, a) })
		x.newestSeconds = slices.Insert(x.newestSeconds, i, date)
		x.newestSeconds = x.newestSeconds[:min(len(x.newestSeconds), x.Limit+1)]
	}
}

// withPlaces returns a document with its matching places, nil if it has none. Number 0
// stands for a document that is not in the index.
func (x *indexSearch) withPlaces(id int64, sum archive.Sum, size int64) (*Result, error) {
	rows := map[*mailboxIndex][]*placeRow{}
	if id != 0 {
		if err := x.loadPlaces(id, rows); err != nil {
			return nil, err
		}
	}
	for _, r := range x.newRows[sum] {
		rows[r.mailbox] = append(rows[r.mailbox], r)
	}
	result := &Result{Sum: sum, Size: size}
	for m, list := range rows {
		for _, r := range m.selectRows(list, x.Selection) {
			flags := r.flagsAt(x.atSecond)
			if date := r.message.InternalDate; x.Selection.IncludesDate(date) && x.Query.matchesDate(date) && x.Query.matchesFlags(flags) {
				result.Places = append(result.Places, r.place(x.names[m], flags))
			}
		}
	}
	if len(result.Places) == 0 {
		return nil, nil
	}
	result.sortPlaces()
	return result, nil
}

// loadPlaces adds the rows of a document in the selected mailboxes to rows.
func (x *indexSearch) loadPlaces(documentID int64, rows map[*mailboxIndex][]*placeRow) error {
	places, err := x.placesOfDocument.Query(documentID)
	if err != nil {
		return err
	}
	defer places.Close()
	for places.Next() {
		r, mailboxID, err := scanPlaceRow(places)
		if err != nil {
			return err
		}
		m := x.mailboxes[mailboxID]
		if m == nil {
			continue
		}
		var laterHistory []flagChange
		if changed := x.changedRows[r.id]; changed != nil {
			c := *changed
			r, laterHistory = &c, changed.flagHistory
		}
		r.mailbox = m
		if !x.Selection.At.IsZero() {
			if r.flagHistory, err = x.loadHistory(r.id); err != nil {
				return err
			}
			r.flagHistory = append(r.flagHistory, laterHistory...)
		}
		rows[m] = append(rows[m], r)
	}
	return places.Err()
}

// loadHistory returns the changes of a place's flags that are in the index.
func (x *indexSearch) loadHistory(placeID int64) (history []flagChange, err error) {
	rows, err := x.historyOfPlace.Query(placeID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c flagChange
		if err := rows.Scan(&c.at, &c.flagsBefore); err != nil {
			return nil, err
		}
		history = append(history, c)
	}
	return history, rows.Err()
}
