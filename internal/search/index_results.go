package search

import (
	"cmp"
	"context"
	"database/sql"
	"slices"

	"archiverd/archive"
)

// walk takes the documents for which the terms about octets hold, the newest first,
// until there are enough.
func (l *lookup) walk(ctx context.Context) error {
	q := l.Query.statement()
	if after, ok := l.after(); ok {
		q.where("%s >= ?", q.id)
		q.args = append(q.args, after<<secondBits)
	}
	if before, ok := l.before(); ok {
		q.where("%s < ?", q.id)
		q.args = append(q.args, before<<secondBits)
	}
	few, n, err := l.narrow()
	if err != nil || n == 0 {
		return err
	}
	if few != "" {
		// The plus keeps FTS5 from being asked about each number.
		q.where("+%s IN (%s)", q.id, few)
	}
	return l.each(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		if n := l.Limit + 1; l.Limit > 0 && len(l.dates) == n && l.dates[n-1] > id>>secondBits {
			return false, nil // no later one has a date so new
		}
		if l.extra[id] {
			return true, nil
		}
		return true, l.result(id, sum, size)
	})
}

// each gives fn the documents of a statement until it returns false.
func (l *lookup) each(ctx context.Context, q *statement, fn func(id int64, sum archive.Sum, size int64) (bool, error)) error {
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

// result takes a document if a place of it is meant.
func (l *lookup) result(id int64, sum archive.Sum, size int64) error {
	r, err := l.placed(id, sum, size)
	if r != nil {
		l.take(r)
	}
	return err
}

func (l *lookup) take(r *Result) {
	l.found.Results = append(l.found.Results, *r)
	if l.Limit > 0 {
		date := seconds(r.Date)
		i, _ := slices.BinarySearchFunc(l.dates, date, func(a, b int64) int { return cmp.Compare(b, a) })
		l.dates = slices.Insert(l.dates, i, date)
		l.dates = l.dates[:min(len(l.dates), l.Limit+1)]
	}
}

// placed is a document with those of its places that are meant, nil if none is.
func (l *lookup) placed(id int64, sum archive.Sum, size int64) (*Result, error) {
	of := map[*facts][]*row{}
	if id != 0 {
		rows, err := l.places.Query(id)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			r, box, err := scanRow(rows)
			if err != nil {
				return nil, err
			}
			f := l.allowed[box]
			if f == nil {
				continue
			}
			var later []change
			if o := l.overlay[r.id]; o != nil {
				c := *o
				r, later = &c, o.history
			}
			r.facts = f
			if l.at != moment(archive.Selection{}.At) {
				if r.history, err = l.changes(r.id); err != nil {
					return nil, err
				}
				r.history = append(r.history, later...)
			}
			of[f] = append(of[f], r)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	for _, r := range l.bySum[sum] {
		of[r.facts] = append(of[r.facts], r)
	}
	res := &Result{Sum: sum, Size: size}
	for f, rows := range of {
		for _, r := range f.selected(rows, l.Selection) {
			flags := r.flagsAt(l.at)
			if l.Selection.Within(r.place.InternalDate) && l.Query.dated(r.place.InternalDate) && l.Query.flagged(flags) {
				res.Places = append(res.Places, r.result(l.names[f], flags))
			}
		}
	}
	if len(res.Places) == 0 {
		return nil, nil
	}
	res.finish()
	return res, nil
}

func (l *lookup) changes(place int64) (out []change, err error) {
	rows, err := l.history.Query(place)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c change
		if err := rows.Scan(&c.at, &c.before); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, rows.Err()
}
