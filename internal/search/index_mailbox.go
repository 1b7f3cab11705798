package search

import (
	"database/sql"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
)

// facts are what is known of a mailbox but for its messages.
type facts struct {
	box     archive.Box
	id      int64 // 0: not in the index
	journal string
	pos     archive.Position
	latest  int64 // the seconds of the latest event
	places  int   // rows of it in the index
	epochs  []epoch
}

// epoch is the time of one UIDVALIDITY.
type epoch struct {
	name          archive.Name
	opened, ended int64 // seconds; ended 0: it has not
}

// row is a place of a message as the index has it.
type row struct {
	id    int64 // 0: not in the index
	doc   int64 // 0: not known yet
	facts *facts
	epoch int
	added, gone,
	until int64 // seconds; 0: not gone, not archived again
	sum     archive.Sum
	size    int64
	place   archive.Message // UID, Path, InternalDate
	flags   string
	history []change
}

// change is the flags that a place had before a time.
type change struct {
	at     int64
	before string
}

// key is what a row goes on under.
type key struct {
	epoch int
	uid   uint32
}

// moment is a time of a selection in seconds; without one, the end of time.
func moment(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.Unix()
}

// epochAt is the epoch of a time, -1 before the first.
func (f *facts) epochAt(at int64) int {
	last := -1
	for i, ep := range f.epochs {
		if ep.opened <= at {
			last = i
		}
	}
	return last
}

// here says whether the server listed the message at a time, in what was the
// current epoch then.
func (r *row) here(current int, at int64) bool {
	return r.epoch == current && !past(r.gone, at) && !past(r.facts.epochs[r.epoch].ended, at)
}

// past says whether something, if it ever happened, had happened at a time.
func past(when, at int64) bool { return when != 0 && when <= at }

// selected are those rows, all of one mailbox and of equal octets, that
// [archive.Archive.Select] would select as here.
func (f *facts) selected(rows []*row, s archive.Selection) []*row {
	at := moment(s.At)
	current := f.epochAt(at)
	rows = slices.DeleteFunc(rows, func(r *row) bool { return r.epoch > current || r.added > at || past(r.until, at) })
	return slices.DeleteFunc(rows, func(r *row) bool { return !r.here(current, at) })
}

// flagsAt are the flags that the place had at a time. Its history is whole.
func (r *row) flagsAt(at int64) []string {
	for _, c := range r.history {
		if c.at > at {
			return strings.Fields(c.before)
		}
	}
	return strings.Fields(r.flags)
}

// result is the place as a search finds it: one that is not gone.
func (r *row) result(name archive.Name, flags []string) Place {
	return Place{ID: path.Join(r.facts.box.Dir, r.place.Path), Account: r.facts.box.Account, Mailbox: name.Mailbox, UID: r.place.UID,
		InternalDate: r.place.InternalDate, Flags: flags}
}

const rowColumns = `place.id, place.doc, place.box, place.epoch, place.uid, place.path, place.date, place.zone,
	(SELECT text FROM flags WHERE flags.id = place.flags), place.added, place.gone, place.until`

// scanRow reads a row of rowColumns, and the number of its mailbox.
func scanRow(rows *sql.Rows) (r *row, box int64, err error) {
	r = &row{}
	var date, gone, until sql.NullInt64
	var zone int
	err = rows.Scan(&r.id, &r.doc, &box, &r.epoch, &r.place.UID, &r.place.Path, &date, &zone, &r.flags, &r.added, &gone, &until)
	r.gone, r.until = gone.Int64, until.Int64
	if date.Valid {
		r.place.InternalDate = time.Unix(date.Int64, 0).UTC()
		if zone != 0 {
			r.place.InternalDate = r.place.InternalDate.In(time.FixedZone("", zone))
		}
	}
	return r, box, err
}

// loadFacts reads what the index knows of the mailboxes, by directory.
func loadFacts(tx *sql.Tx) (map[string]*facts, error) {
	out := map[string]*facts{}
	byID := map[int64]*facts{}
	rows, err := tx.Query("SELECT id, dir, account, journal, size, seal, latest, places FROM box")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		f := &facts{}
		if err := rows.Scan(&f.id, &f.box.Dir, &f.box.Account, &f.journal, &f.pos.Offset, &f.pos.Seal, &f.latest, &f.places); err != nil {
			return nil, err
		}
		out[f.box.Dir], byID[f.id] = f, f
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = tx.Query("SELECT box, opened, ended, mailbox, delimiter, raw FROM epoch ORDER BY box, n")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var ep epoch
		var ended sql.NullInt64
		var mailbox []byte
		if err := rows.Scan(&id, &ep.opened, &ended, &mailbox, &ep.name.Delimiter, &ep.name.Raw); err != nil {
			return nil, err
		}
		ep.ended, ep.name.Mailbox = ended.Int64, string(mailbox)
		if f := byID[id]; f != nil {
			f.epochs = append(f.epochs, ep)
		}
	}
	return out, rows.Err()
}
