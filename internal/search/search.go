package search

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// Search is one search of an archive.
type Search struct {
	Archive *archive.Archive
	Query   *Query
	// Selection restricts the places that are searched. Its Match is ignored.
	Selection history.Selection
	// Index is the path of the index; "": the archive itself is read.
	Index string
	// Limit is the maximum number of results, the newest ones; 0: no limit.
	Limit int
}

// Report is the result of a search.
type Report struct {
	Results   []Result // newest first; equal dates by ID
	HasMore   bool     // there are more results than Limit
	UsedIndex bool
	Notes     []string // remarks about the index, for people
	// Errors has one error for each mailbox and message that could not be read. They
	// are not in Results, although they might match.
	Errors []error
}

// Result is a message that matches. Equal octets are one result.
type Result struct {
	Sum    archive.Sum
	Size   int64     // octets
	Date   time.Time // INTERNALDATE of the newest place; zero if no place has one
	Places []Place   // the places that match, newest first; equal dates by ID
}

// Place is a UID of a mailbox that has the octets of a result.
type Place struct {
	ID           string // path of the message in the archive
	Account      string // directory of the account
	Mailbox      string // name of the mailbox, not its directory
	UID          uint32
	InternalDate time.Time // zero if there is none
	Flags        []string
	Gone         time.Time // when the UID disappeared from the server; zero if it did not, or with its mailbox or epoch
}

// Run executes the search. It returns an error if the archive as a whole can't be read
// or ctx ends; the errors of single mailboxes and messages are in the Report.
func (s *Search) Run(ctx context.Context) (*Report, error) {
	report := &Report{}
	ok, err := s.searchIndex(ctx, report)
	if err == nil && !ok {
		err = s.searchArchive(ctx, newMatchCache(s.Archive, s.Query), report)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(report.Results, func(a, b Result) int {
		return cmp.Or(-compareDates(a.Date, b.Date), strings.Compare(a.Places[0].ID, b.Places[0].ID))
	})
	if s.Limit > 0 && len(report.Results) > s.Limit {
		report.Results, report.HasMore = report.Results[:s.Limit], true
	}
	return report, nil
}

// addError adds the error of a mailbox or message.
func (r *Report) addError(err error) { r.Errors = append(r.Errors, err) }

// sortPlaces sorts the places and sets the date.
func (r *Result) sortPlaces() {
	slices.SortFunc(r.Places, func(a, b Place) int {
		return cmp.Or(-compareDates(a.InternalDate, b.InternalDate), strings.Compare(a.ID, b.ID))
	})
	r.Date = r.Places[0].InternalDate
}

// compareDates compares dates in whole seconds, the resolution of a journal. No date is
// older than every date.
func compareDates(a, b time.Time) int { return cmp.Compare(unixSeconds(a), unixSeconds(b)) }

// noDate stands for no INTERNALDATE, in seconds. It is before every date.
const noDate = -1 << 40

// unixSeconds returns t in seconds of Unix time, noDate for the zero time.
func unixSeconds(t time.Time) int64 {
	if t.IsZero() {
		return noDate
	}
	return t.Unix()
}
