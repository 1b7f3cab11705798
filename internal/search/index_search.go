package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"archiverd/archive"
)

// searchIndex searches with the index. It returns false where there is none that can be
// used, and a note says why.
func (s *Search) searchIndex(ctx context.Context, found *Report) (bool, error) {
	if s.Index == "" {
		return false, nil
	}
	ix, err := openIndex(ctx, s.Index, s.Archive, false)
	if errors.Is(err, errNoIndex) {
		return false, nil
	}
	if err == nil {
		l := &indexSearch{Search: s, changedRows: map[int64]*placeRow{}, outOfOrder: map[int64]bool{}, newRows: map[archive.Sum][]*placeRow{}, atSecond: endSecondOf(s.Selection.At)}
		if s.Selection.Gone {
			err = l.findGone(ctx, ix)
		} else {
			err = l.findListed(ctx, ix)
		}
		err = errors.Join(err, ix.Close())
		if err == nil {
			found.Results, found.Errors, found.UsedIndex = l.report.Results, l.report.Errors, true
			return true, nil
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	found.Notes = append(found.Notes, fmt.Sprintf("the index %s is not used, the archive itself is read: %v; `archiverd index --rebuild` makes it anew", s.Index, err))
	return false, nil
}

// indexSearch is a search of the index on its way, in one transaction.
type indexSearch struct {
	*Search
	tx       *sql.Tx
	report   Report
	atSecond int64

	mailboxes        map[int64]*mailboxIndex // the mailboxes that are meant, by number
	mailboxNames     map[*mailboxIndex]archive.Name
	changedRows      map[int64]*placeRow         // rows that are not as the index has them
	newRows          map[archive.Sum][]*placeRow // rows that it has not
	outOfOrder       map[int64]bool              // documents that are judged by themselves, for the order of their numbers is not theirs
	placesOfDocument *sql.Stmt
	historyOfPlace   *sql.Stmt
	newestSeconds    []int64 // the newest of the results so far, as many as are wanted and one
}

func (l *indexSearch) findListed(ctx context.Context, ix *indexFile) (err error) {
	if l.tx, err = ix.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.rollback()) }()
	if err := l.catchUpMailboxes(); err != nil {
		return err
	}
	if l.placesOfDocument, err = l.tx.Prepare("SELECT " + placeColumns + " FROM place WHERE place.doc = ?"); err != nil {
		return err
	}
	if l.historyOfPlace, err = l.tx.Prepare("SELECT at, (SELECT text FROM flags WHERE flags.id = change.flags) FROM change WHERE place = ? ORDER BY id"); err != nil {
		return err
	}
	if err := l.findOutOfOrder(ctx); err != nil {
		return err
	}
	return l.newestFirst(ctx)
}

// findGone searches what is gone. What counts as gone is the archive's to say, of all
// mailboxes together; so the journals are read, and only the words are the index's.
func (l *indexSearch) findGone(ctx context.Context, ix *indexFile) (err error) {
	if l.tx, err = ix.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.rollback()) }()
	v := newMatchCache(l.Archive, l.Query)
	if header, _ := l.Query.needs(); header {
		no := &documentQuery{idColumn: "doc.id", tables: "doc"}
		no.where("doc.read")
		for _, s := range []*documentQuery{no, l.Query.documentQuery()} {
			err := l.eachDocument(ctx, s, func(_ int64, sum archive.Sum, _ int64) (bool, error) {
				v.matched[sum] = s != no
				return true, nil
			})
			if err != nil {
				return err
			}
		}
	}
	return l.searchArchiveWith(ctx, v, &l.report)
}

// rollback ends the transaction: nothing was written but what only this connection sees.
func (l *indexSearch) rollback() error {
	if err := l.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// catchUpMailboxes brings what the index knows of the mailboxes up to their journals.
func (l *indexSearch) catchUpMailboxes() error {
	known, err := loadMailboxes(l.tx)
	if err != nil {
		return err
	}
	boxes, err := l.Archive.Mailboxes(l.Selection.Account)
	if err != nil {
		return err
	}
	l.mailboxes, l.mailboxNames = map[int64]*mailboxIndex{}, map[*mailboxIndex]archive.Name{}
	for _, b := range boxes {
		if !l.Query.matchesAccount(b.Account) {
			continue
		}
		f := known[b.Dir]
		if f == nil {
			f = &mailboxIndex{dir: b}
		}
		if f, err = l.catchUpMailbox(f); err != nil {
			return err
		}
		if f != nil && f.position.Offset != 0 && f.id != 0 {
			l.mailboxes[f.id] = f
		}
	}
	return nil
}

// catchUpMailbox brings one mailbox up to its journal. It returns nil if none of its rows
// in the index is meant.
func (l *indexSearch) catchUpMailbox(f *mailboxIndex) (*mailboxIndex, error) {
	at, size, err := l.Archive.HasPosition(f.dir, f.journal, f.position)
	if err != nil {
		return nil, err
	}
	if !at || f.position.Offset == 0 { // another journal, or what is known is not whole
		f = &mailboxIndex{dir: f.dir}
	}
	t := newJournalTail(l.tx, f)
	if size > f.position.Offset {
		err := t.replay(l.Archive)
		switch {
		case errors.Is(err, archive.ErrCorrupt) && l.Selection.At.IsZero():
			l.report.addError(fmt.Errorf("select from mailbox %s: %w", f.dir.Dir, err))
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
	i := f.epochIndexAt(l.atSecond)
	if i < 0 {
		return nil, nil
	}
	name := f.epochs[i].name
	if !l.Query.matchesMailbox(name) || l.Selection.Mailbox != nil && !l.Selection.Mailbox(name) {
		return nil, nil
	}
	l.mailboxNames[f] = name
	for _, r := range t.changedRows {
		l.changedRows[r.id] = r
		l.outOfOrder[r.documentID] = true
	}
	for _, r := range t.newRows {
		l.newRows[r.sum] = append(l.newRows[r.sum], r)
	}
	return f, nil
}
