package search

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/archive/history"
)

// A damaged index is not used: the archive is searched, with a note. An update
// rebuilds the index.
func TestDamagedIndex(t *testing.T) {
	other := newTestArchive(t)
	other.fill(2, "alice", "INBOX", 40)
	other.updateIndex()
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 200)
	s.updateIndex()
	path := s.indexer.Path
	intact := readFile(t, path)
	want := len(s.searchBothWays("invoice*", history.Selection{}, 0).Results)
	if want < 20 {
		t.Fatalf("only %d results", want)
	}
	write := func(octets []byte) func(*testing.T) { return func(t *testing.T) { writeFile(t, path, octets) } }
	for _, damage := range []struct {
		name  string
		apply func(*testing.T)
	}{
		{"missing", func(*testing.T) { os.Remove(path) }},
		{"empty", write(nil)},
		{"truncated to half", write(intact[:len(intact)/2])},
		{"truncated within a page", write(intact[:len(intact)-100])},
		{"zeros", write(make([]byte, len(intact)))},
		{"not an SQLite file", write([]byte("hello"))},
		{"overwritten after the header", write(append(bytes.Clone(intact[:1024]), bytes.Repeat([]byte{0xa5}, len(intact)-1024)...))},
		{"of another archive", write(readFile(t, other.indexer.Path))},
		{"of another schema", write(bytes.Replace(intact, []byte(schemaVersion), []byte("0"+schemaVersion[1:]), 1))},
	} {
		t.Run(damage.name, func(t *testing.T) {
			s.reportTo(t)
			damage.apply(t)
			report := s.search("invoice*", history.Selection{}, 0, true)
			if len(report.Results) != want || len(report.Errors) > 0 {
				t.Errorf("%d results, want %d; errors %v", len(report.Results), want, report.Errors)
			}
			if damage.name != "missing" && (report.UsedIndex || len(report.Notes) != 1) {
				t.Errorf("UsedIndex is %v, notes %q", report.UsedIndex, report.Notes)
			}
			if update := s.updateIndex(); update.Added != 200 || update.Documents != 200 || len(update.Errors) > 0 {
				t.Errorf("the rebuild reports %+v", update)
			}
			s.searchBothWays("invoice*", history.Selection{}, 0)
		})
	}
}

// A writer that is killed within a transaction leaves the index with a rollback journal.
// A search does not use it, and an update rolls back and goes on.
func TestIndexOfKilledWriter(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 200)
	s.updateIndex()
	want := len(s.searchBothWays("invoice*", history.Selection{}, 0).Results)
	leaveTransaction(t, s.indexer.Path)
	report := s.search("invoice*", history.Selection{}, 0, true)
	if len(report.Results) != want || len(report.Errors) > 0 || report.UsedIndex || len(report.Notes) != 1 {
		t.Errorf("%d results, want %d; errors %v, UsedIndex %v, notes %q", len(report.Results), want, report.Errors, report.UsedIndex, report.Notes)
	}
	if update := s.updateIndex(); update.Documents != 200 || len(update.Errors) > 0 {
		t.Errorf("the update reports %+v", update)
	}
	s.searchBothWays("invoice*", history.Selection{}, 0)
}

// leaveTransaction leaves an index and its rollback journal as a writer does that is
// killed within a transaction after its first pages went to the file.
func leaveTransaction(t *testing.T, path string) {
	t.Helper()
	intact := readFile(t, path)
	file, err := openSQLite(path, "rw", "cache_size(1)", "cache_spill(1)")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := file.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"UPDATE place SET flags = flags + 1, path = path || path",
		"INSERT INTO doc SELECT id + abs(random() % 1000000000), randomblob(32), size, low, attachment, read FROM doc",
		"DELETE FROM words",
		"INSERT INTO words (words) VALUES ('optimize')",
	} {
		for range 3 {
			if _, err := tx.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	index, journal := readFile(t, path), readFile(t, path+"-journal")
	if bytes.Equal(index, intact) {
		t.Fatal("no page went to the file")
	}
	if err := errors.Join(tx.Rollback(), file.Close()); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, index)
	writeFile(t, path+"-journal", journal)
}

// An index that is older than the archive, in every way that an archive changes, gives
// the results of the archive, before and after an update.
func TestOutdatedIndex(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 60)
	s.fill(2, "alice", "Old", 20)
	journal := filepath.Join(s.dir, "alice/INBOX/journal.jsonl")
	backup := readFile(t, journal)
	var latest []byte
	s.updateIndex()
	g := newGenerator(3)
	for _, change := range []struct {
		name  string
		apply func()
	}{
		{"new mail", func() {
			s.now = s.now.Add(time.Minute)
			s.commit("alice", "INBOX", 1, nil, testMessage{100, g.day(), nil, g.message()}, testMessage{101, startTime, nil, g.message()})
			latest = readFile(t, journal)
		}},
		{"a journal restored from a backup", func() { writeFile(t, journal, backup) }},
		{"a new UIDVALIDITY", func() {
			writeFile(t, journal, latest)
			s.fill(4, "alice", "New", 20)
			text := g.message()
			s.commit("alice", "INBOX", 2, []archive.Event{openedEvent("INBOX", 2)},
				testMessage{1, startTime.AddDate(1, 0, 0), nil, text}, testMessage{2, g.day(), nil, text})
		}},
		{"a renamed directory", func() {
			if err := os.Rename(filepath.Join(s.dir, "alice/Old"), filepath.Join(s.dir, "alice/Renamed")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		ok := t.Run(change.name, func(t *testing.T) {
			s.reportTo(t)
			change.apply()
			s.searchAtRandom(g)
			s.updateIndex()
			s.searchAtRandom(g)
		})
		if !ok {
			break // the next change builds on this one
		}
	}
}

// searchAtRandom compares the results with and without the index for random queries.
func (s *testArchive) searchAtRandom(g generator) {
	s.t.Helper()
	for range 12 {
		s.searchBothWays(g.query(), history.Selection{Gone: g.IntN(3) == 0}, g.IntN(4))
	}
	if report := s.searchBothWays("-zzz", history.Selection{}, 0); len(report.Results) < 10 {
		s.t.Errorf("-zzz has only %d results", len(report.Results))
	}
}

// The words of a damaged message do not enter the index. Its message is found again
// after the file is repaired.
func TestDamagedMessage(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 10)
	path := filepath.Join(s.dir, s.search("-zzz", history.Selection{}, 1, false).Results[0].Places[0].ID)
	intact := readFile(t, path)
	writeFile(t, path, []byte("Subject: zzz\r\n\r\n"))
	if update := s.updateIndex(); len(update.Errors) != 1 || !errors.Is(update.Errors[0], errDamagedMessage) || update.Documents != 9 {
		t.Errorf("the update with a damaged message reports %+v", update)
	}
	if report := s.searchBothWays("zzz", history.Selection{}, 0); len(report.Results) != 1 {
		t.Errorf("the words of the damaged file have %d results, want 1", len(report.Results))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if report := s.search("zzz", history.Selection{}, 0, true); len(report.Errors) != 1 || !report.UsedIndex {
		t.Errorf("the search with a missing message reports %+v", report)
	}
	writeFile(t, path, intact)
	if update := s.updateIndex(); len(update.Errors) != 0 || update.Documents != 10 || update.Added != 1 {
		t.Errorf("the update with the repaired message reports %+v", update)
	}
	s.searchBothWays("-zzz", history.Selection{}, 0)
}

// A second writer gets ErrBusy.
func TestIndexHasOneWriter(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 5)
	release, err := lockIndex(s.indexer.Path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.indexer.Update(context.Background()); !errors.Is(err, ErrBusy) {
		t.Errorf("Update beside another writer: %v, want %v", err, ErrBusy)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	s.updateIndex()
}

// A rebuild that is interrupted leaves the old index.
func TestInterruptedRebuild(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 5)
	s.updateIndex()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.indexer.Rebuild = true
	if _, err := s.indexer.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted rebuild: %v, want %v", err, context.Canceled)
	}
	s.indexer.Rebuild = false
	s.searchBothWays("-zzz", history.Selection{}, 0)
}

// A message that gets a newer date, because it is also in another mailbox, is counted once.
func TestIndexCountsEqualMessagesOnce(t *testing.T) {
	s := newTestArchive(t)
	text := "Subject: zzz\r\n\r\nbody\r\n"
	s.commit("alice", "A", 1, []archive.Event{openedEvent("A", 1)}, testMessage{1, startTime, nil, text})
	s.commit("alice", "B", 1, []archive.Event{openedEvent("B", 1)}, testMessage{1, startTime.AddDate(1, 0, 0), nil, text})
	if update := s.updateIndex(); update.Documents != 1 || update.Added != 1 {
		t.Errorf("the update reports %+v", update)
	}
}
