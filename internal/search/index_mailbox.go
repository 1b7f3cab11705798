package search

import (
	"database/sql"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// mailboxIndex is what the index has of a mailbox, except its messages.
type mailboxIndex struct {
	dir        archive.MailboxDir
	id         int64 // box.id; 0: not in the index
	journal    string
	position   archive.Position // up to which the journal is in the index; zero: nothing of it counts
	lastEvent  int64            // seconds of the latest event
	placeCount int              // rows of the mailbox in table place
	epochs     []epoch          // in the order of the journal
}

// epoch is the time of one UIDVALIDITY.
type epoch struct {
	name              archive.Name
	openedAt, endedAt int64 // seconds; endedAt 0: it has not ended
}

// placeRow is a row of table place: a UID with a message in an epoch of a mailbox.
type placeRow struct {
	id         int64 // 0: not in the index
	documentID int64 // 0: not known
	mailbox    *mailboxIndex
	epochIndex int   // in mailbox.epochs
	addedAt    int64 // seconds
	goneAt     int64 // seconds; 0: not gone
	replacedAt int64 // seconds when the UID was archived again, in another row; 0: never
	sum        archive.Sum
	size       int64           // octets
	message    archive.Message // only UID, Path and InternalDate
	flags      string          // separated by spaces
	// flagHistory is in order of time. A row has only the changes that a journalTail
	// adds to it, unless the search is of an earlier time.
	flagHistory []flagChange
}

// flagChange is a change of a place's flags.
type flagChange struct {
	at          int64 // seconds
	flagsBefore string
}

// uidKey identifies the row of a UID in an epoch that is not replaced.
type uidKey struct {
	epochIndex int
	uid        uint32
}

// endSecondOf returns the time of a selection in seconds. Events of that second are
// included. The zero time is the end of time.
func endSecondOf(t time.Time) int64 {
	if t.IsZero() {
		return math.MaxInt64
	}
	return t.Unix()
}

// epochIndexAt returns the index of the epoch that was the latest at a time, -1 if there
// was none.
func (m *mailboxIndex) epochIndexAt(at int64) int {
	last := -1
	for i, ep := range m.epochs {
		if ep.openedAt <= at {
			last = i
		}
	}
	return last
}

// selectRows returns the rows that [history.SelectMailbox] selects as listed by the
// server. The rows are of this mailbox and of equal octets.
func (m *mailboxIndex) selectRows(rows []*placeRow, s history.Selection) []*placeRow {
	at := endSecondOf(s.At)
	current := m.epochIndexAt(at)
	return slices.DeleteFunc(rows, func(r *placeRow) bool {
		return r.addedAt > at || happenedBy(r.replacedAt, at) || !r.isListed(current, at)
	})
}

// isListed reports whether the server listed the row's UID at a time, in the epoch that
// was current then.
func (r *placeRow) isListed(current int, at int64) bool {
	return r.epochIndex == current && !happenedBy(r.goneAt, at) && !happenedBy(r.mailbox.epochs[r.epochIndex].endedAt, at)
}

// happenedBy reports whether something that happened at second when, 0 for never, had
// happened at second at.
func happenedBy(when, at int64) bool { return when != 0 && when <= at }

// flagsAt returns the flags of the place at a time. For a time in the past, flagHistory
// must be complete.
func (r *placeRow) flagsAt(at int64) []string {
	for _, c := range r.flagHistory {
		if c.at > at {
			return strings.Fields(c.flagsBefore)
		}
	}
	return strings.Fields(r.flags)
}

// place returns the row, of a UID that is not gone, as part of a result.
func (r *placeRow) place(name archive.Name, flags []string) Place {
	return Place{ID: path.Join(r.mailbox.dir.Dir, r.message.Path), Account: r.mailbox.dir.Account, Mailbox: name.Mailbox, UID: r.message.UID,
		InternalDate: r.message.InternalDate, Flags: flags}
}

// placeColumns are the columns that scanPlaceRow reads.
const placeColumns = `place.id, place.doc, place.box, place.epoch, place.uid, place.path, place.date, place.zone,
	(SELECT text FROM flags WHERE flags.id = place.flags), place.added, place.gone, place.until`

// scanPlaceRow scans the placeColumns of a row. It returns also the number of the
// mailbox; the caller sets the row's mailbox.
func scanPlaceRow(rows *sql.Rows) (r *placeRow, mailboxID int64, err error) {
	r = &placeRow{}
	var date, goneAt, replacedAt sql.NullInt64
	var zone int
	err = rows.Scan(&r.id, &r.documentID, &mailboxID, &r.epochIndex, &r.message.UID, &r.message.Path, &date, &zone,
		&r.flags, &r.addedAt, &goneAt, &replacedAt)
	r.goneAt, r.replacedAt = goneAt.Int64, replacedAt.Int64
	if date.Valid {
		r.message.InternalDate = time.Unix(date.Int64, 0).UTC()
		if zone != 0 {
			r.message.InternalDate = r.message.InternalDate.In(time.FixedZone("", zone))
		}
	}
	return r, mailboxID, err
}

// loadMailboxes reads the mailboxes of the index with their epochs. The keys are their
// directories.
func loadMailboxes(tx *sql.Tx) (map[string]*mailboxIndex, error) {
	byDir, byID := map[string]*mailboxIndex{}, map[int64]*mailboxIndex{}
	rows, err := tx.Query("SELECT id, dir, account, journal, size, seal, latest, places FROM box")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		m := &mailboxIndex{}
		err := rows.Scan(&m.id, &m.dir.Dir, &m.dir.Account, &m.journal, &m.position.Offset, &m.position.Seal, &m.lastEvent, &m.placeCount)
		if err != nil {
			return nil, err
		}
		byDir[m.dir.Dir], byID[m.id] = m, m
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return byDir, loadEpochs(tx, byID)
}

// loadEpochs reads the epochs of mailboxes, whose keys are their numbers.
func loadEpochs(tx *sql.Tx, mailboxes map[int64]*mailboxIndex) error {
	rows, err := tx.Query("SELECT box, opened, ended, mailbox, delimiter, raw FROM epoch ORDER BY box, n")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var ep epoch
		var endedAt sql.NullInt64
		var name []byte
		if err := rows.Scan(&id, &ep.openedAt, &endedAt, &name, &ep.name.Delimiter, &ep.name.Raw); err != nil {
			return err
		}
		ep.endedAt, ep.name.Mailbox = endedAt.Int64, string(name)
		if m := mailboxes[id]; m != nil {
			m.epochs = append(m.epochs, ep)
		}
	}
	return rows.Err()
}
