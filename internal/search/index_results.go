package search

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"archiverd/archive"
)

// newestFirst takes the documents for which the terms about octets hold, the newest first,
// until there are enough.
func (l *indexSearch) newestFirst(ctx context.Context) error {
	q := l.Query.documentQuery()
	if after, ok := l.minSecond(); ok {
		q.where("%s >= ?", q.idColumn)
		q.args = append(q.args, after<<secondBits)
	}
	if before, ok := l.endSecond(); ok {
		q.where("%s < ?", q.idColumn)
		q.args = append(q.args, before<<secondBits)
	}
	few, n, err := l.prefilter()
	if err != nil || n == 0 {
		return err
	}
	if few != "" {
		// The plus keeps FTS5 from being asked about each number.
		q.where("+%s IN (%s)", q.idColumn, few)
	}
	return l.eachDocument(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		if n := l.Limit + 1; l.Limit > 0 && len(l.newestSeconds) == n && l.newestSeconds[n-1] > id>>secondBits {
			return false, nil // no later one has a date so new
		}
		if l.outOfOrder[id] {
			return true, nil
		}
		return true, l.addDocument(id, sum, size)
	})
}

// eachDocument gives fn the documents of a statement until it returns false.
func (l *indexSearch) eachDocument(ctx context.Context, q *documentQuery, fn func(id int64, sum archive.Sum, size int64) (bool, error)) error {
	rows, err := l.tx.QueryContext(ctx, q.String(), q.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, size int64
		var text sql.RawBytes
		var sum archive.Sum
		if err := rows.Scan(&id, &text, &size); err != nil {
			return err
		}
		copy(sum[:], text)
		if more, err := fn(id, sum, size); err != nil || !more {
			return err
		}
	}
	return rows.Err()
}

// addDocument takes a document if a place of it is meant.
func (l *indexSearch) addDocument(id int64, sum archive.Sum, size int64) error {
	r, err := l.withPlaces(id, sum, size)
	if r != nil {
		l.addResult(r)
	}
	return err
}

func (l *indexSearch) addResult(r *Result) {
	l.report.Results = append(l.report.Results, *r)
	if l.Limit > 0 {
		date := unixSeconds(r.Date)
		i, _ := slices.BinarySearchFunc(l.newestSeconds, date, func(a, b int64) int { return cmp.Compare(b, a) })
		l.newestSeconds = slices.Insert(l.newestSeconds, i, date)
		l.newestSeconds = l.newestSeconds[:min(len(l.newestSeconds), l.Limit+1)]
	}
}

// withPlaces is a document with those of its places that are meant, nil if none is.
func (l *indexSearch) withPlaces(id int64, sum archive.Sum, size int64) (*Result, error) {
	of := map[*mailboxIndex][]*placeRow{}
	if id != 0 {
		rows, err := l.placesOfDocument.Query(id)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			r, box, err := scanPlaceRow(rows)
			if err != nil {
				return nil, err
			}
			f := l.mailboxes[box]
			if f == nil {
				continue
			}
			var later []flagChange
			if o := l.changedRows[r.id]; o != nil {
				c := *o
				r, later = &c, o.flagHistory
			}
			r.mailbox = f
			if l.atSecond != endSecondOf(archive.Selection{}.At) {
				if r.flagHistory, err = l.flagHistory(r.id); err != nil {
					return nil, err
				}
				r.flagHistory = append(r.flagHistory, later...)
			}
			of[f] = append(of[f], r)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	for _, r := range l.newRows[sum] {
		of[r.mailbox] = append(of[r.mailbox], r)
	}
	res := &Result{Sum: sum, Size: size}
	for f, rows := range of {
		for _, r := range f.selectRows(rows, l.Selection) {
			flags := r.flagsAt(l.atSecond)
			if l.Selection.Within(r.message.InternalDate) && l.Query.matchesDate(r.message.InternalDate) && l.Query.matchesFlags(flags) {
				res.Places = append(res.Places, r.place(l.mailboxNames[f], flags))
			}
		}
	}
	if len(res.Places) == 0 {
		return nil, nil
	}
	res.sortPlaces()
	return res, nil
}

func (l *indexSearch) flagHistory(place int64) (out []flagChange, err error) {
	rows, err := l.historyOfPlace.Query(place)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c flagChange
		if err := rows.Scan(&c.at, &c.flagsBefore); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
