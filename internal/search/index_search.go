package search

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"archiverd/archive"
)

// lookup searches with the index. It returns false where there is none that can be
// used, and a note says why.
func (s *Search) lookup(ctx context.Context, found *Found) (bool, error) {
	if s.Index == "" {
		return false, nil
	}
	ix, err := openIndex(ctx, s.Index, s.Archive, false)
	if errors.Is(err, errNoIndex) {
		return false, nil
	}
	if err == nil {
		l := &lookup{Search: s, overlay: map[int64]*row{}, extra: map[int64]bool{}, bySum: map[archive.Sum][]*row{}, at: moment(s.Selection.At)}
		if s.Selection.Gone {
			err = l.gone(ctx, ix)
		} else {
			err = l.run(ctx, ix)
		}
		err = errors.Join(err, ix.Close())
		if err == nil {
			found.Results, found.Errors, found.Indexed = l.found.Results, l.found.Errors, true
			return true, nil
		}
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	found.Notes = append(found.Notes, fmt.Sprintf("the index %s is not used, the archive itself is read: %v; `archiverd index --rebuild` makes it anew", s.Index, err))
	return false, nil
}

// lookup is a search of the index on its way, in one transaction.
type lookup struct {
	*Search
	tx    *sql.Tx
	found Found
	at    int64

	allowed map[int64]*facts // the mailboxes that are meant, by number
	names   map[*facts]archive.Name
	overlay map[int64]*row         // rows that are not as the index has them
	bySum   map[archive.Sum][]*row // rows that it has not
	extra   map[int64]bool         // documents that are judged by themselves, for the order of their numbers is not theirs
	places  *sql.Stmt
	history *sql.Stmt
	dates   []int64 // the newest of the results so far, as many as are wanted and one
}

func (l *lookup) run(ctx context.Context, ix *index) (err error) {
	if l.tx, err = ix.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end()) }()
	if err := l.mailboxes(); err != nil {
		return err
	}
	if l.places, err = l.tx.Prepare("SELECT " + rowColumns + " FROM place WHERE place.doc = ?"); err != nil {
		return err
	}
	if l.history, err = l.tx.Prepare("SELECT at, (SELECT text FROM flags WHERE flags.id = change.flags) FROM change WHERE place = ? ORDER BY id"); err != nil {
		return err
	}
	if err := l.extras(ctx); err != nil {
		return err
	}
	return l.walk(ctx)
}

// gone searches what is gone. What counts as gone is the archive's to say, of all
// mailboxes together; so the journals are read, and only the words are the index's.
func (l *lookup) gone(ctx context.Context, ix *index) (err error) {
	if l.tx, err = ix.db.BeginTx(ctx, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.end()) }()
	v := newVerdicts(l.Archive, l.Query)
	if header, _ := l.Query.reads(); header {
		no := &statement{id: "doc.id", table: "doc"}
		no.where("doc.read")
		for _, s := range []*statement{no, l.Query.statement()} {
			err := l.each(ctx, s, func(_ int64, sum archive.Sum, _ int64) (bool, error) {
				v.of[sum] = s != no
				return true, nil
			})
			if err != nil {
				return err
			}
		}
	}
	return l.streamWith(ctx, v, &l.found)
}

// end ends the transaction: nothing was written but what only this connection sees.
func (l *lookup) end() error {
	if err := l.tx.Rollback(); err != nil && !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// mailboxes brings what the index knows of the mailboxes up to their journals.
func (l *lookup) mailboxes() error {
	known, err := loadFacts(l.tx)
	if err != nil {
		return err
	}
	boxes, err := l.Archive.Boxes(l.Selection.Account)
	if err != nil {
		return err
	}
	l.allowed, l.names = map[int64]*facts{}, map[*facts]archive.Name{}
	for _, b := range boxes {
		if !l.Query.accountNamed(b.Account) {
			continue
		}
		f := known[b.Dir]
		if f == nil {
			f = &facts{box: b}
		}
		if f, err = l.mailbox(f); err != nil {
			return err
		}
		if f != nil && f.pos.Offset != 0 && f.id != 0 {
			l.allowed[f.id] = f
		}
	}
	return nil
}

// mailbox brings one mailbox up to its journal. It returns nil if none of its rows
// in the index is meant.
func (l *lookup) mailbox(f *facts) (*facts, error) {
	at, size, err := l.Archive.At(f.box, f.journal, f.pos)
	if err != nil {
		return nil, err
	}
	if !at || f.pos.Offset == 0 { // another journal, or what is known is not whole
		f = &facts{box: f.box}
	}
	t := newTail(l.tx, f)
	if size > f.pos.Offset {
		err := t.replay(l.Archive)
		switch {
		case errors.Is(err, archive.ErrCorrupt) && l.Selection.At.IsZero():
			l.found.wrong(fmt.Errorf("select from mailbox %s: %w", f.box.Dir, err))
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
	i := f.epochAt(l.at)
	if i < 0 {
		return nil, nil
	}
	name := f.epochs[i].name
	if !l.Query.mailboxNamed(name) || l.Selection.Mailbox != nil && !l.Selection.Mailbox(name) {
		return nil, nil
	}
	l.names[f] = name
	for _, r := range t.touched {
		l.overlay[r.id] = r
		l.extra[r.doc] = true
	}
	for _, r := range t.fresh {
		l.bySum[r.sum] = append(l.bySum[r.sum], r)
	}
	return f, nil
}
