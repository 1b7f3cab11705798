package search

import (
	"context"
	"database/sql"
	"errors"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// findOutOfOrder judges the documents that the index does not have in their order, or not
// at all.
func (l *indexSearch) findOutOfOrder(ctx context.Context) error {
	var unread []unreadDocument
	find, err := l.tx.Prepare("SELECT id, read FROM doc WHERE sum = ?")
	if err != nil {
		return err
	}
	for sum, rows := range l.newRows {
		var id int64
		var read bool
		switch err := find.QueryRow(sum[:]).Scan(&id, &read); {
		case errors.Is(err, sql.ErrNoRows):
			unread = append(unread, unreadDocument{0, sum, rows[0].size})
		case err != nil:
			return err
		case read:
			l.outOfOrder[id] = true
		} // else it is among those below
	}
	more, err := l.queryDocuments("SELECT id, sum, size FROM doc WHERE read = 0")
	if err != nil {
		return err
	}
	for _, u := range more {
		l.outOfOrder[u.id] = true
	}
	if before, ok := l.endSecond(); ok { // those with an earlier place too
		wide, err := l.queryDocuments("SELECT id, sum, size FROM doc WHERE low < (id >> ?) AND id >= ? AND low < ?", secondBits, before<<secondBits, before)
		if err != nil {
			return err
		}
		for _, u := range wide {
			l.outOfOrder[u.id] = true
		}
	}
	if err := l.matchUnread(ctx, append(unread, more...)); err != nil {
		return err
	}
	if len(l.outOfOrder) == 0 {
		return nil
	}
	if _, err := l.tx.Exec("CREATE TEMP TABLE extra (doc INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	put, err := l.tx.Prepare("INSERT INTO extra VALUES (?)")
	if err != nil {
		return err
	}
	for id := range l.outOfOrder {
		if _, err := put.Exec(id); err != nil {
			return err
		}
	}
	q := l.Query.documentQuery()
	q.where("%s IN (SELECT doc FROM temp.extra)", q.idColumn)
	return l.eachDocument(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		return true, l.addDocument(id, sum, size)
	})
}

// unreadDocument is a document without words in the index.
type unreadDocument struct {
	id   int64 // 0: it is not even there
	sum  archive.Sum
	size int64
}

func (l *indexSearch) queryDocuments(query string, args ...any) (out []unreadDocument, err error) {
	rows, err := l.tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var u unreadDocument
		var sum []byte
		if err := rows.Scan(&u.id, &sum, &u.size); err != nil {
			return nil, err
		}
		copy(u.sum[:], sum)
		out = append(out, u)
	}
	return out, rows.Err()
}

// matchUnread reads messages that the index does not have, where a place of theirs is meant.
func (l *indexSearch) matchUnread(ctx context.Context, list []unreadDocument) error {
	var results []*Result
	for _, u := range list {
		r, err := l.withPlaces(u.id, u.sum, u.size)
		if err != nil {
			return err
		}
		if r != nil {
			results = append(results, r)
		}
	}
	v := newMatchCache(l.Archive, l.Query)
	var g errgroup.Group
	g.SetLimit(parallelReads())
	var mu gosync.Mutex
	for _, r := range results {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			var errs error
			for _, p := range r.Places { // equal octets, one of which may be damaged
				holds, err := v.matches(p.ID, r.Sum, r.Size)
				if err != nil {
					errs = errors.Join(errs, err)
					continue
				}
				if holds {
					mu.Lock()
					l.addResult(r)
					mu.Unlock()
				}
				errs = nil
				break
			}
			if errs != nil {
				mu.Lock()
				l.report.addError(errs)
				mu.Unlock()
			}
			return nil
		})
	}
	return g.Wait()
}
