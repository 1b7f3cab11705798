package search

import (
	"context"
	"database/sql"
	"errors"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// extras judges the documents that the index does not have in their order, or not
// at all.
func (l *lookup) extras(ctx context.Context) error {
	var unread []unknown
	find, err := l.tx.Prepare("SELECT id, read FROM doc WHERE sum = ?")
	if err != nil {
		return err
	}
	for sum, rows := range l.bySum {
		var id int64
		var read bool
		switch err := find.QueryRow(sum[:]).Scan(&id, &read); {
		case errors.Is(err, sql.ErrNoRows):
			unread = append(unread, unknown{0, sum, rows[0].size})
		case err != nil:
			return err
		case read:
			l.extra[id] = true
		} // else it is among those below
	}
	more, err := l.unread("SELECT id, sum, size FROM doc WHERE read = 0")
	if err != nil {
		return err
	}
	for _, u := range more {
		l.extra[u.id] = true
	}
	if before, ok := l.before(); ok { // those with an earlier place too
		wide, err := l.unread("SELECT id, sum, size FROM doc WHERE low < (id >> ?) AND id >= ? AND low < ?", secondBits, before<<secondBits, before)
		if err != nil {
			return err
		}
		for _, u := range wide {
			l.extra[u.id] = true
		}
	}
	if err := l.ask(ctx, append(unread, more...)); err != nil {
		return err
	}
	if len(l.extra) == 0 {
		return nil
	}
	if _, err := l.tx.Exec("CREATE TEMP TABLE extra (doc INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	put, err := l.tx.Prepare("INSERT INTO extra VALUES (?)")
	if err != nil {
		return err
	}
	for id := range l.extra {
		if _, err := put.Exec(id); err != nil {
			return err
		}
	}
	q := l.Query.statement()
	q.where("%s IN (SELECT doc FROM temp.extra)", q.id)
	return l.each(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		return true, l.result(id, sum, size)
	})
}

// unknown is a document without words in the index.
type unknown struct {
	id   int64 // 0: it is not even there
	sum  archive.Sum
	size int64
}

func (l *lookup) unread(query string, args ...any) (out []unknown, err error) {
	rows, err := l.tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u unknown
		var sum []byte
		if err := rows.Scan(&u.id, &sum, &u.size); err != nil {
			return nil, err
		}
		copy(u.sum[:], sum)
		out = append(out, u)
	}
	return out, rows.Err()
}

// ask reads messages that the index does not have, where a place of theirs is meant.
func (l *lookup) ask(ctx context.Context, list []unknown) error {
	var results []*Result
	for _, u := range list {
		r, err := l.placed(u.id, u.sum, u.size)
		if err != nil {
			return err
		}
		if r != nil {
			results = append(results, r)
		}
	}
	v := newVerdicts(l.Archive, l.Query)
	var g errgroup.Group
	g.SetLimit(workers())
	var mu gosync.Mutex
	for _, r := range results {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var errs error
			for _, p := range r.Places { // equal octets, one of which may be damaged
				holds, err := v.ask(p.ID, r.Sum, r.Size)
				if err != nil {
					errs = errors.Join(errs, err)
					continue
				}
				if holds {
					mu.Lock()
					l.take(r)
					mu.Unlock()
				}
				errs = nil
				break
			}
			if errs != nil {
				mu.Lock()
				l.found.wrong(errs)
				mu.Unlock()
			}
			return nil
		})
	}
	return g.Wait()
}
