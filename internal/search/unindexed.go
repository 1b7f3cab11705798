package search

import (
	"context"

	"archiverd/archive"
	"archiverd/archive/history"
)

// searchArchive searches without the index: it folds one journal after the other and
// reads the messages of each mailbox in parallel, except those with a result in cache.
// Memory grows with the largest mailbox, the different messages (some 60 octets each)
// and the results.
func (s *Search) searchArchive(ctx context.Context, cache *matchCache, report *Report) error {
	mailboxes, err := s.Archive.Mailboxes(s.Selection.Account)
	if err != nil {
		return err
	}
	selection, err := s.placeSelection(ctx)
	if err != nil {
		return err
	}
	results := map[archive.Sum]*Result{}
	for _, b := range mailboxes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.Query.matchesAccount(b.Account) {
			continue
		}
		selected, err := history.SelectMailbox(s.Archive, b, selection)
		if err != nil {
			report.addError(err)
			continue
		}
		if selected == nil {
			continue
		}
		report.Errors = append(report.Errors, cache.matchAll(ctx, b, selected.Messages)...)
		if err := ctx.Err(); err != nil {
			return err
		}
		for _, m := range selected.Messages {
			if !cache.isMatch(m.Sum) {
				continue
			}
			r := results[m.Sum]
			if r == nil {
				r = &Result{Sum: m.Sum, Size: m.Size}
				results[m.Sum] = r
			}
			r.Places = append(r.Places, Place{ID: b.ID(m), Account: b.Account, Mailbox: selected.Name.Mailbox, UID: m.UID,
				InternalDate: m.InternalDate, Flags: m.Flags, Gone: m.Gone})
		}
	}
	for _, r := range results {
		r.sortPlaces()
		report.Results = append(report.Results, *r)
	}
	return nil
}

// placeSelection returns the selection restricted by the query's terms about places, but
// for accounts. It is prepared: each Select of an unprepared one reads all journals.
func (s *Search) placeSelection(ctx context.Context) (history.Selection, error) {
	selection := s.Selection
	selection.Mailbox = func(n archive.Name) bool {
		return (s.Selection.Mailbox == nil || s.Selection.Mailbox(n)) && s.Query.matchesMailbox(n)
	}
	selection.Match = func(_ archive.MailboxDir, m *archive.Message) (bool, error) {
		return s.Query.matchesFlags(m.Flags) && s.Query.matchesDate(m.InternalDate), ctx.Err()
	}
	return selection.Prepare(s.Archive)
}
