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

// mailboxIndex are what is known of a mailbox but for its messages.
type mailboxIndex struct {
	dir        archive.MailboxDir
	id         int64 // 0: not in the index
	journal    string
	position   archive.Position
	lastEvent  int64 // the seconds of the latest event
	placeCount int   // rows of it in the index
	epochs     []epoch
}

// epoch is the time of one UIDVALIDITY.
type epoch struct {
	name              archive.Name
	openedAt, endedAt int64 // seconds; ended 0: it has not
}

// placeRow is a place of a message as the index has it.
type placeRow struct {
	id         int64 // 0: not in the index
	documentID int64 // 0: not known yet
	mailbox    *mailboxIndex
	epochIndex int
	addedAt, goneAt,
	replacedAt int64 // seconds; 0: not gone, not archived again
	sum         archive.Sum
	size        int64
	message     archive.Message // UID, Path, InternalDate
	flags       string
	flagHistory []flagChange
}

// flagChange is the flags that a place had before a time.
type flagChange struct {
	at          int64
	flagsBefore string
}

// uidKey is what a row goes on under.
type uidKey struct {
	epochIndex int
	uid        uint32
}

// endSecondOf is a time of a selection in seconds; without one, the end of time.
func endSecondOf(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.Unix()
}

// epochIndexAt is the epoch of a time, -1 before the first.
func (f *mailboxIndex) epochIndexAt(at int64) int {
	last := -1
	for i, ep := range f.epochs {
		if ep.openedAt <= at {
			last = i
		}
	}
	return last
}

// isListed says whether the server listed the message at a time, in what was the
// current epoch then.
func (r *placeRow) isListed(current int, at int64) bool {
	return r.epochIndex == current && !happenedBy(r.goneAt, at) && !happenedBy(r.mailbox.epochs[r.epochIndex].endedAt, at)
}

// happenedBy says whether something, if it ever happened, had happened at a time.
func happenedBy(when, at int64) bool { return when != 0 && when <= at }

// selectRows are those rows, all of one mailbox and of equal octets, that
// [archive.Archive.Select] would select as here.
func (f *mailboxIndex) selectRows(rows []*placeRow, s archive.Selection) []*placeRow {
	at := endSecondOf(s.At)
	current := f.epochIndexAt(at)
	rows = slices.DeleteFunc(rows, func(r *placeRow) bool {
		return r.epochIndex > current || r.addedAt > at || happenedBy(r.replacedAt, at)
	})
	return slices.DeleteFunc(rows, func(r *placeRow) bool { return !r.isListed(current, at) })
}

// flagsAt are the flags that the place had at a time. Its history is whole.
func (r *placeRow) flagsAt(at int64) []string {
	for _, c := range r.flagHistory {
		if c.at > at {
			return strings.Fields(c.flagsBefore)
		}
	}
	return strings.Fields(r.flags)
}

// place is the place as a search finds it: one that is not gone.
func (r *placeRow) place(name archive.Name, flags []string) Place {
	return Place{ID: path.Join(r.mailbox.dir.Dir, r.message.Path), Account: r.mailbox.dir.Account, Mailbox: name.Mailbox, UID: r.message.UID,
		InternalDate: r.message.InternalDate, Flags: flags}
}

const placeColumns = `place.id, place.doc, place.box, place.epoch, place.uid, place.path, place.date, place.zone,
	(SELECT text FROM flags WHERE flags.id = place.flags), place.added, place.gone, place.until`

// scanPlaceRow reads a row of placeColumns, and the number of its mailbox.
func scanPlaceRow(rows *sql.Rows) (r *placeRow, box int64, err error) {
	r = &placeRow{}
	var date, gone, until sql.NullInt64
	var zone int
	err = rows.Scan(&r.id, &r.documentID, &box, &r.epochIndex, &r.message.UID, &r.message.Path, &date, &zone, &r.flags, &r.addedAt, &gone, &until)
	r.goneAt, r.replacedAt = gone.Int64, until.Int64
	if date.Valid {
		r.message.InternalDate = time.Unix(date.Int64, 0).UTC()
		if zone != 0 {
			r.message.InternalDate = r.message.InternalDate.In(time.FixedZone("", zone))
		}
	}
	return r, box, err
}

// loadMailboxes reads what the index knows of the mailboxes, by directory.
func loadMailboxes(tx *sql.Tx) (map[string]*mailboxIndex, error) {
	out := map[string]*mailboxIndex{}
	byID := map[int64]*mailboxIndex{}
	rows, err := tx.Query("SELECT id, dir, account, journal, size, seal, latest, places FROM box")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		f := &mailboxIndex{}
		if err := rows.Scan(&f.id, &f.dir.Dir, &f.dir.Account, &f.journal, &f.position.Offset, &f.position.Seal, &f.lastEvent, &f.placeCount); err != nil {
			return nil, err
		}
		out[f.dir.Dir], byID[f.id] = f, f
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
		if err := rows.Scan(&id, &ep.openedAt, &ended, &mailbox, &ep.name.Delimiter, &ep.name.Raw); err != nil {
			return nil, err
		}
		ep.endedAt, ep.name.Mailbox = ended.Int64, string(mailbox)
		if f := byID[id]; f != nil {
			f.epochs = append(f.epochs, ep)
		}
	}
	return out, rows.Err()
}
