package search

import (
	"context"
	"database/sql"
	"errors"
	gosync "sync"

	"golang.org/x/sync/errgroup"

	"archiverd/archive"
)

// unreadDocument is a document without words in the index.
type unreadDocument struct {
	id   int64 // 0: not in the index
	sum  archive.Sum
	size int64 // octets
}

// findOutOfOrder finds the documents whose numbers don't tell the date of their newest
// matching place, and reads those without words in the index from the archive.
func (x *indexSearch) findOutOfOrder(ctx context.Context) error {
	unread, err := x.unreadDocuments()
	if err != nil {
		return err
	}
	for _, u := range unread {
		if u.id != 0 {
			x.outOfOrder[u.id] = true
		}
	}
	if end, ok := x.endSecond(); ok { // their newest place may be too new, and an older one match
		spread, err := x.queryDocuments("SELECT id, sum, size FROM doc WHERE low < (id >> ?) AND id >= ? AND low < ?", secondBits, end<<secondBits, end)
		if err != nil {
			return err
		}
		for _, d := range spread {
			x.outOfOrder[d.id] = true
		}
	}
	if err := x.matchUnread(ctx, unread); err != nil || len(x.outOfOrder) == 0 {
		return err
	}
	if err := x.storeOutOfOrder(); err != nil {
		return err
	}
	q := x.Query.documentQuery()
	q.where("%s IN (SELECT doc FROM temp.extra)", q.idColumn)
	return x.eachDocument(ctx, q, func(id int64, sum archive.Sum, size int64) (bool, error) {
		return true, x.addDocument(id, sum, size)
	})
}

// unreadDocuments returns the documents without words in the index: those of new rows
// that the index lacks, and those that could not be read when it was updated. The
// other documents of new rows are out of order.
func (x *indexSearch) unreadDocuments() ([]unreadDocument, error) {
	unread, err := x.queryDocuments("SELECT id, sum, size FROM doc WHERE read = 0")
	if err != nil {
		return nil, err
	}
	find, err := x.tx.Prepare("SELECT id, read FROM doc WHERE sum = ?")
	if err != nil {
		return nil, err
	}
	for sum, rows := range x.newRows {
		var id int64
		var read bool
		switch err := find.QueryRow(sum[:]).Scan(&id, &read); {
		case errors.Is(err, sql.ErrNoRows):
			unread = append(unread, unreadDocument{0, sum, rows[0].size})
		case err != nil:
			return nil, err
		case read:
			x.outOfOrder[id] = true
		}
	}
	return unread, nil
}

// queryDocuments returns the documents of a query for number, SHA-256 and size.
func (x *indexSearch) queryDocuments(query string, args ...any) (documents []unreadDocument, err error) {
	rows, err := x.tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var d unreadDocument
		var octets sql.RawBytes
		if err := rows.Scan(&d.id, &octets, &d.size); err != nil {
			return nil, err
		}
		copy(d.sum[:], octets)
		documents = append(documents, d)
	}
	return documents, rows.Err()
}

// storeOutOfOrder writes outOfOrder to the temporary table extra.
func (x *indexSearch) storeOutOfOrder() error {
	if _, err := x.tx.Exec("CREATE TEMP TABLE extra (doc INTEGER PRIMARY KEY)"); err != nil {
		return err
	}
	insert, err := x.tx.Prepare("INSERT INTO extra VALUES (?)")
	if err != nil {
		return err
	}
	for id := range x.outOfOrder {
		if _, err := insert.Exec(id); err != nil {
			return err
		}
	}
	return nil
}

// matchUnread reads documents from the archive if one of their places matches, in
// parallel, and adds those for which the terms about octets hold.
func (x *indexSearch) matchUnread(ctx context.Context, documents []unreadDocument) error {
	var results []*Result
	for _, d := range documents {
		r, err := x.withPlaces(d.id, d.sum, d.size)
		if err != nil {
			return err
		}
		if r != nil {
			results = append(results, r)
		}
	}
	cache := newMatchCache(x.Archive, x.Query)
	var mu gosync.Mutex // guards x.report and x.newestSeconds
	var g errgroup.Group
	g.SetLimit(parallelReads())
	for _, r := range results {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			matched, err := matchAnyPlace(cache, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				x.report.addError(err)
			} else if matched {
				x.addResult(r)
			}
			return nil
		})
	}
	return g.Wait()
}

// matchAnyPlace matches the first file of a result's places that can be read. The error
// joins those of all files, if none can be.
func matchAnyPlace(cache *matchCache, r *Result) (bool, error) {
	var errs []error
	for _, p := range r.Places {
		matched, err := cache.matches(p.ID, r.Sum, r.Size)
		if err == nil {
			return matched, nil
		}
		errs = append(errs, err)
	}
	return false, errors.Join(errs...)
}
