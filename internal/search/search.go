package search

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
)

// Search is one search of an archive.
type Search struct {
	Archive *archive.Archive
	Query   *Query
	// Selection says among which messages: its Match is not asked.
	Selection archive.Selection
	// Index is the path of the index, "" to read the archive alone.
	Index string
	// Limit is how many results are wanted, the newest; 0: all.
	Limit int
}

// Report is what a search found.
type Report struct {
	Results   []Result // the newest first; those of one date by ID
	HasMore   bool     // there are more than Limit
	UsedIndex bool     // the index was used
	Notes     []string // what a person should know of the index
	// Errors are of mailboxes and messages that could not be read: they are not
	// among the results, and may belong there.
	Errors []error
}

// Result is a message, once for all places with equal octets.
type Result struct {
	Sum    archive.Sum
	Size   int64     // octets
	Date   time.Time // INTERNALDATE of the newest place; zero: none has one
	Places []Place   // where it is, the newest first; those of one date by ID
}

// Place is where the archive has a message.
type Place struct {
	ID           string // its path in the archive
	Account      string // the account's directory
	Mailbox      string // its true name
	UID          uint32
	InternalDate time.Time // zero: none
	Flags        []string
	Gone         time.Time // when the server no longer listed the UID; zero: it does, or the mailbox or epoch ended
}

// Run searches. The error is of the archive as a whole, or the context's; those of
// single mailboxes and messages are in Found.
func (s *Search) Run(ctx context.Context) (*Report, error) {
	found := &Report{}
	ok, err := s.searchIndex(ctx, found)
	if err == nil && !ok {
		err = s.searchArchive(ctx, found)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found.Results, func(a, b Result) int {
		return cmp.Or(-compareDates(a.Date, b.Date), strings.Compare(a.Places[0].ID, b.Places[0].ID))
	})
	if s.Limit > 0 && len(found.Results) > s.Limit {
		found.Results, found.HasMore = found.Results[:s.Limit], true
	}
	return found, nil
}

// addError keeps what is wrong with one mailbox or message.
func (f *Report) addError(err error) { f.Errors = append(f.Errors, err) }

// compareDates compares to the second, for a journal has no more; no date is the
// oldest.
func compareDates(a, b time.Time) int { return cmp.Compare(unixSeconds(a), unixSeconds(b)) }

// noDate is the seconds of a message without INTERNALDATE: before any.
const noDate = -1 << 40

func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return noDate
	}
	return t.Unix()
}

// sortPlaces puts the places in order.
func (r *Result) sortPlaces() {
	slices.SortFunc(r.Places, func(a, b Place) int {
		return cmp.Or(-compareDates(a.InternalDate, b.InternalDate), strings.Compare(a.ID, b.ID))
	})
	r.Date = r.Places[0].InternalDate
}

// Restrict returns s narrowed to what the query finds: its Mailbox and Match are set.
// It reads messages of a as they are asked for, equal octets once.
func (q *Query) Restrict(a *archive.Archive, s archive.Selection) archive.Selection {
	v := newMatchCache(a, q)
	mailbox, match := s.Mailbox, s.Match
	s.Mailbox = func(n archive.Name) bool {
		return (mailbox == nil || mailbox(n)) && q.matchesMailbox(n)
	}
	s.Match = func(b archive.MailboxDir, m *archive.Message) (bool, error) {
		if match != nil {
			if ok, err := match(b, m); !ok || err != nil {
				return false, err
			}
		}
		if !q.matchesAccount(b.Account) || !q.matchesFlags(m.Flags) || !q.matchesDate(m.InternalDate) {
			return false, nil
		}
		return v.matches(b.ID(m), m.Sum, m.Size)
	}
	return s
}
