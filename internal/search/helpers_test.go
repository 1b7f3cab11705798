package search

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
	"archiverd/internal/uid"
)

// startTime is the time of the first commit to a test's archive.
var startTime = time.Date(2026, 11, 22, 18, 30, 0, 0, time.UTC)

// testArchive is an open archive with an index.
type testArchive struct {
	t            testing.TB
	dir          string
	w            *archive.Writer
	now          time.Time              // the writer's clock
	pathBySum    map[archive.Sum]string // messages that a commit can link
	indexer      *Indexer
	withoutFiles bool // the journals have messages that have no files
}

// newTestArchive creates an archive. It is verified when the test ends.
func newTestArchive(t testing.TB) *testArchive {
	t.Helper()
	s := &testArchive{t: t, dir: t.TempDir(), now: startTime, pathBySum: map[archive.Sum]string{}}
	w, err := archive.OpenWriter(s.dir, archive.Options{Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	s.w = w
	s.indexer = &Indexer{Archive: w.Archive, Path: filepath.Join(s.dir, "state.db.index")}
	t.Cleanup(func() {
		if !s.withoutFiles {
			s.verify()
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reportTo makes t the test that helpers fail, until t ends.
func (s *testArchive) reportTo(t *testing.T) {
	outer := s.t
	s.t = t
	t.Cleanup(func() { s.t = outer })
}

// verify fails the test if a mailbox is damaged.
func (s *testArchive) verify() {
	s.t.Helper()
	mailboxes, err := s.w.Mailboxes("")
	if err != nil {
		s.t.Error(err)
	}
	for _, b := range mailboxes {
		v, err := s.w.Verify(context.Background(), b, archive.VerifyOptions{})
		if err != nil {
			s.t.Error(err)
		}
		for _, f := range v.Findings {
			if f.Damage {
				s.t.Errorf("damage: %s: %s", f.Path, f.What)
			}
		}
	}
}

// openMailbox opens a mailbox for writing.
func (s *testArchive) openMailbox(account, name string) *archive.Mailbox {
	s.t.Helper()
	b, err := s.w.DirectoryOf(account, archive.Name{Mailbox: name, Delimiter: "/"})
	if err != nil {
		s.t.Fatal(err)
	}
	v, pos, err := s.w.Fold(b)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	m, err := s.w.Mailbox(b, archive.JournalState{ID: v.Journal, End: pos})
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// testMessage is a message to be committed.
type testMessage struct {
	uid   uint32
	date  time.Time
	flags []string
	text  string
}

// commit commits events and messages to a mailbox.
func (s *testArchive) commit(account, name string, epoch uint32, events []archive.Event, messages ...testMessage) {
	s.t.Helper()
	mailbox := s.openMailbox(account, name)
	b, err := mailbox.Batch()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range events {
		b.Record(e)
	}
	for _, m := range messages {
		slices.Sort(m.flags)
		e := archive.Event{UID: m.uid, InternalDate: m.date, Flags: m.flags}
		if err := b.Add(epoch, e, int64(len(m.text)), strings.NewReader(m.text)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.w.Commit(pathIndex(s.pathBySum), b)
	if b.Err != nil {
		s.t.Fatal(b.Err)
	}
	for _, e := range b.Events {
		if e.Kind == archive.Added && !s.withoutFiles {
			s.pathBySum[e.Sum] = mailbox.Dir + "/" + e.Path
		}
	}
	if err := mailbox.Release(); err != nil {
		s.t.Fatal(err)
	}
}

// fill commits n random messages to a new mailbox.
func (s *testArchive) fill(seed uint64, account, name string, n int) {
	g := newGenerator(seed)
	var messages []testMessage
	for i := range n {
		messages = append(messages, testMessage{uint32(i + 1), g.day(), g.flags(), g.message()})
	}
	s.commit(account, name, 1, []archive.Event{openedEvent(name, 1)}, messages...)
}

// commitWithoutFiles commits events of messages that have no files. The archive is not
// verified then.
func (s *testArchive) commitWithoutFiles(account, name string, events []archive.Event) {
	s.t.Helper()
	s.withoutFiles = true
	s.commit(account, name, 1, events)
}

// openedEvent returns the event that opens an epoch.
func openedEvent(name string, epoch uint32) archive.Event {
	return archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: name, Delimiter: "/"}, UIDValidity: epoch}
}

// goneEvent returns the event for UIDs that disappeared.
func goneEvent(uids ...uint32) archive.Event {
	return archive.Event{Kind: archive.Gone, UIDs: uid.Of(uids...)}
}

// updateIndex brings the index up to date.
func (s *testArchive) updateIndex() *IndexReport {
	s.t.Helper()
	report, err := s.indexer.Update(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// parse parses a query whose times are dates or RFC 3339.
func parse(t testing.TB, text string) *Query {
	t.Helper()
	q, err := Parse(text, parseTestTime)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// parseTestTime parses a date or an RFC 3339 time.
func parseTestTime(_, text string) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, text); err == nil {
		return t, nil
	}
	return time.Parse(time.RFC3339, text)
}

// search searches with the index or without it.
func (s *testArchive) search(query string, selection history.Selection, limit int, useIndex bool) *Report {
	s.t.Helper()
	search := &Search{Archive: s.w.Archive, Query: parse(s.t, query), Selection: selection, Limit: limit}
	if useIndex {
		search.Index = s.indexer.Path
	}
	report, err := search.Run(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	return report
}

// searchBothWays searches with the index and without it. It fails the test if the
// reports differ or the index was not used.
func (s *testArchive) searchBothWays(query string, selection history.Selection, limit int) *Report {
	s.t.Helper()
	got, want := s.search(query, selection, limit, true), s.search(query, selection, limit, false)
	if !got.UsedIndex || len(got.Notes) > 0 {
		s.t.Fatalf("%s: the index is not used: %q", query, got.Notes)
	}
	if got.HasMore != want.HasMore || !slices.Equal(describe(got), describe(want)) {
		s.t.Errorf("%s (%+v, limit %d): with the index\n%s%v\nwithout\n%s%v", query, selection, limit,
			strings.Join(describe(got), "\n"), got.HasMore, strings.Join(describe(want), "\n"), want.HasMore)
	}
	return want
}

// describe returns each result as a line.
func describe(report *Report) (lines []string) {
	for _, r := range report.Results {
		line := fmt.Sprintf("%s %d %s:", r.Sum.String()[:8], r.Size, r.Date.Format(time.RFC3339))
		for _, p := range r.Places {
			line += fmt.Sprintf(" [%s %s %d %s %q %s]", p.ID, p.Mailbox, p.UID, p.InternalDate.Format(time.RFC3339), p.Flags, p.Gone.Format(time.RFC3339))
		}
		lines = append(lines, line)
	}
	return lines
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	octets, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

func writeFile(t testing.TB, path string, octets []byte) {
	t.Helper()
	if err := os.WriteFile(path, octets, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pathIndex is an archive.Index of paths by sum.
type pathIndex map[archive.Sum]string

func (x pathIndex) PathOf(s archive.Sum) (string, bool) { p, ok := x[s]; return p, ok }

// NamedUIDs makes every name be looked up in the journal.
func (x pathIndex) NamedUIDs(_ string, _ uint32, uids uid.Set) uid.Set { return uids }
