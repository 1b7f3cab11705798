package search

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	gosync "sync"

	"golang.org/x/sync/errgroup"

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
				res.Places = append(res.Places, r.result(l.names[f], flags, l.at))
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

// maxNarrow is how many places are gathered before the words are asked about.
const maxNarrow = 50_000

// narrow is a statement of the documents that can be meant at all, where these are
// few, and how many places these have; else empty. Without it a common word in a small mailbox would be looked at in
// every message that has it.
func (l *lookup) narrow() (string, int, error) {
	best, least := "", maxNarrow+1
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
	for id, f := range l.allowed {
		total += f.places
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
		ids, err := l.flagged(&t)
		if err != nil {
			return "", 0, err
		}
		if err := try("SELECT doc FROM place WHERE flags IN (" + ids + ")"); err != nil {
			return "", 0, err
		}
	}
	return best, least, nil
}

// flagged are the numbers of the sets of flags for which a term holds.
func (l *lookup) flagged(t *term) (string, error) {
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
		if slices.ContainsFunc(strings.Fields(text), t.isFlag) != t.not {
			ids = append(ids, id)
		}
	}
	return strings.Join(ids, ","), rows.Err()
}

// after is the earliest second that the query and the selection mean.
func (l *lookup) after() (int64, bool) {
	from, ok := int64(noDate), false
	if !l.Selection.After.IsZero() {
		from, ok = l.Selection.After.Unix(), true
	}
	for _, t := range l.Query.terms {
		if t.kind == afterKind && !t.not || t.kind == beforeKind && t.not {
			from, ok = max(from, t.time.Unix()), true
		}
	}
	return from, ok
}

// before is the second behind the last that they mean.
func (l *lookup) before() (int64, bool) {
	to, ok := int64(1)<<40, false
	if !l.Selection.Before.IsZero() {
		to, ok = l.Selection.Before.Unix()+1, true
	}
	for _, t := range l.Query.terms {
		if t.kind == beforeKind && !t.not || t.kind == afterKind && t.not {
			to, ok = min(to, t.time.Unix()+1), true
		}
	}
	return to, ok
}
