package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"archiverd/archive"
)

// searchIndex searches with the index. It returns false, with a note in the report if
// there is an index that can't be used, if the archive must be searched instead.
func (s *Search) searchIndex(ctx context.Context, report *Report) (bool, error) {
	if s.Index == "" {
		return false, nil
	}
	file, err := openIndex(ctx, s.Index, s.Archive, false)
	if errors.Is(err, errNoIndex) {
		return false, nil
	}
	if err == nil {
		x := &indexSearch{Search: s, names: map[*mailboxIndex]archive.Name{}, mailboxes: map[int64]*mailboxIndex{}, changedRows: map[int64]*placeRow{},
			newRows: map[archive.Sum][]*placeRow{}, outOfOrder: map[int64]bool{}, atSecond: endSecondOf(s.Selection.At)}
		err = errors.Join(file.cause(x.run(ctx, file)), file.Close())
		if err == nil {
			*report = x.report
			report.UsedIndex = true
			return true, nil
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	report.Notes = append(report.Notes, fmt.Sprintf("the index %s is not used, the archive itself is read: %v; `archiverd index --rebuild` rebuilds it", s.Index, err))
	return false, nil
}

// indexSearch is one search of the index, in one read transaction. It belongs to one
// goroutine, but for what matchUnread says.
type indexSearch struct {
	*Search
	tx       *sql.Tx
	report   Report // copied to the caller's only if the whole search succeeds
	atSecond int64  // Selection.At, see endSecondOf

	names     map[*mailboxIndex]archive.Name // names of the selected mailboxes at that time
	mailboxes map[int64]*mailboxIndex        // selected mailboxes with rows in the index, by number

	// What the tails of the journals add to the index.
	changedRows map[int64]*placeRow         // rows of the index with new values, by number
	newRows     map[archive.Sum][]*placeRow // rows that the index lacks
	// outOfOrder has the numbers of documents that may have an older or a newer selected
	// place than their numbers say. findOutOfOrder finds them, newestFirst skips them.
	outOfOrder map[int64]bool

	placesOfDocument *sql.Stmt
	historyOfPlace   *sql.Stmt

	newestSeconds []int64 // dates of the newest results, in descending order, at most Limit+1
}

// run executes the search in one transaction, which is rolled back: its only writes are
// to temporary tables.
func (x *indexSearch) run(ctx context.Context, file *indexFile) (err error) {
	if x.tx, err = file.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() {
		if e := x.tx.Rollback(); !errors.Is(e, sql.ErrTxDone) {
			err = errors.Join(err, e)
		}
	}()
	if x.Selection.Gone {
		return x.findGone(ctx)
	}
	return x.findListed(ctx)
}

// findListed searches the messages that the server lists, or listed at Selection.At.
func (x *indexSearch) findListed(ctx context.Context) (err error) {
	if err := x.catchUpMailboxes(); err != nil {
		return err
	}
	if x.placesOfDocument, err = x.tx.Prepare("SELECT " + placeColumns + " FROM place WHERE place.doc = ?"); err != nil {
		return err
	}
	if x.historyOfPlace, err = x.tx.Prepare("SELECT at, (SELECT text FROM flags WHERE flags.id = change.flags) FROM change WHERE place = ? ORDER BY id"); err != nil {
		return err
	}
	if err := x.findOutOfOrder(ctx); err != nil {
		return err
	}
	return x.findNewestFirst(ctx)
}

// findGone searches the messages that are gone. Whether a message is gone or was moved
// depends on the journals of all mailboxes: they are read, and only the words are taken
// from the index.
func (x *indexSearch) findGone(ctx context.Context) error {
	cache := newMatchCache(x.Archive, x.Query)
	if header, _ := x.Query.needs(); header {
		all := &documentQuery{idColumn: "doc.id", tables: "doc"}
		all.where("doc.read")
		for _, q := range []*documentQuery{all, x.Query.documentQuery()} {
			err := x.eachDocument(ctx, q, func(_ int64, sum archive.Sum, _ int64) (bool, error) {
				cache.setMatch(sum, q != all)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
	}
	return x.searchArchive(ctx, cache, &x.report)
}

// catchUpMailboxes loads the mailboxes of the index and replays the tails of their
// journals, and of the mailboxes that the index lacks.
func (x *indexSearch) catchUpMailboxes() error {
	indexed, err := loadMailboxes(x.tx)
	if err != nil {
		return err
	}
	mailboxes, err := x.Archive.Mailboxes(x.Selection.Account)
	if err != nil {
		return err
	}
	for _, b := range mailboxes {
		if !x.Query.matchesAccount(b.Account) {
			continue
		}
		m := indexed[b.Dir]
		if m == nil {
			m = &mailboxIndex{dir: b}
		}
		if err := x.catchUpMailbox(m); err != nil {
			return err
		}
	}
	return nil
}

// catchUpMailbox replays the tail of a mailbox's journal and adds the mailbox to the
// search, if it is selected.
func (x *indexSearch) catchUpMailbox(m *mailboxIndex) error {
	valid, size, err := x.Archive.HasPosition(m.dir, m.journal, m.position)
	if err != nil {
		return err
	}
	if !valid || m.position.Offset == 0 { // another journal, or an update was interrupted
		m = &mailboxIndex{dir: m.dir}
	}
	t := newJournalTail(x.tx, m)
	if size > m.position.Offset {
		err := t.replay(x.Archive)
		switch {
		case errors.Is(err, archive.ErrCorrupt) && x.Selection.At.IsZero():
			x.report.addError(fmt.Errorf("select from mailbox %s: %w", m.dir.Dir, err))
			return nil
		case err != nil:
			return err
		}
	}
	i := m.epochIndexAt(x.atSecond)
	if i < 0 {
		return nil
	}
	name := m.epochs[i].name
	if !x.Query.matchesMailbox(name) || x.Selection.Mailbox != nil && !x.Selection.Mailbox(name) {
		return nil
	}
	x.names[m] = name
	if m.id != 0 && m.position.Offset != 0 {
		x.mailboxes[m.id] = m
	}
	for _, r := range t.changedRows {
		x.changedRows[r.id] = r
		x.outOfOrder[r.documentID] = true
	}
	for _, r := range t.newRows {
		x.newRows[r.sum] = append(x.newRows[r.sum], r)
	}
	return nil
}
