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
)

// fill fills a mailbox with made-up mail, the same for one seed.
func (s *testArchive) fill(seed uint64, account, name string, n int) {
	a := newGenerator(seed)
	var letters []testMessage
	for i := range n {
		letters = append(letters, testMessage{uint32(i + 1), a.day(), a.flags(), a.message()})
	}
	s.commit(account, name, 1, []archive.Event{openedEvent(name, 1)}, letters...)
}

// An index that is lost, cut, half written, overwritten, of another archive or of
// another version is passed over with a note, and the answers are complete; an
// update makes it anew.
func TestDamagedIndex(t *testing.T) {
	other := newTestArchive(t)
	other.fill(2, "alice", "INBOX", 40)
	other.updateIndex()
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 200)
	s.updateIndex()
	path := s.indexer.Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := len(s.searchBothWays("invoice*", archive.Selection{}, 0).Results)
	if want < 20 {
		t.Fatalf("only %d results", want)
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(){
		"lost":             func() { os.Remove(path) },
		"empty":            func() { write(path, nil) },
		"cut":              func() { write(path, good[:len(good)/2]) },
		"cut in a page":    func() { write(path, good[:len(good)-100]) },
		"zeros":            func() { write(path, make([]byte, len(good))) },
		"text":             func() { write(path, []byte("hello")) },
		"overwritten":      func() { write(path, append(bytes.Clone(good[:1024]), bytes.Repeat([]byte{0xa5}, len(good)-1024)...)) },
		"of another":       func() { text, _ := os.ReadFile(other.indexer.Path); write(path, text) },
		"of a version":     func() { write(path, bytes.Replace(good, []byte(schemaVersion), []byte("0"+schemaVersion[1:]), 1)) },
		"a transaction on": func() { write(path, good); write(path+".good", good); writeHalf(t, path) },
	} {
		spoil()
		found := s.search("invoice*", archive.Selection{}, 0, true)
		if len(found.Results) != want || len(found.Errors) > 0 {
			t.Errorf("%s: %d results, want %d; %v", name, len(found.Results), want, found.Errors)
		}
		if name != "lost" && (found.UsedIndex || len(found.Notes) != 1) {
			t.Errorf("%s: indexed %v, %q", name, found.UsedIndex, found.Notes)
		}
		done := s.updateIndex()
		if made := done.Added == 200; !made && name != "a transaction on" || done.Documents != 200 || len(done.Errors) > 0 {
			t.Errorf("%s: made anew: %+v", name, done)
		}
		s.searchBothWays("invoice*", archive.Selection{}, 0)
	}
}

// writeHalf leaves an index as a writer does that was killed within a transaction,
// whose pages have begun to go to the file.
func writeHalf(t *testing.T, path string) {
	t.Helper()
	ix, err := openSQLite(path, "rw", "cache_size(1)", "cache_spill(1)")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := ix.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"UPDATE place SET flags = flags + 1, path = path || path", "INSERT INTO doc SELECT id + abs(random() % 1000000000), randomblob(32), size, low, attachment, read FROM doc", "DELETE FROM words", "INSERT INTO words (words) VALUES ('optimize')"} {
		for range 3 {
			if _, err := tx.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	names := []string{path, path + "-journal"}
	var texts [][]byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if good, err := os.ReadFile(path + ".good"); err != nil || bytes.Equal(texts[0], good) {
		t.Fatalf("nothing went to the file yet: %v", err)
	}
	if err := errors.Join(tx.Rollback(), ix.Close()); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if err := os.WriteFile(name, texts[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// An index is old in every way that an archive can change under it: mail has come,
// a mailbox was renumbered, put back from a backup, taken away, made.
func TestStaleIndex(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 60)
	s.fill(2, "alice", "Old", 20)
	backup, err := os.ReadFile(filepath.Join(s.dir, "alice/INBOX/journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s.updateIndex()
	a := newGenerator(3)
	check := func(what string) {
		t.Helper()
		for range 12 {
			s.searchBothWays(a.query(), archive.Selection{Gone: a.IntN(3) == 0}, a.IntN(4))
		}
		if found := s.searchBothWays("-zzz", archive.Selection{}, 0); len(found.Results) < 10 {
			t.Errorf("%s: %d results", what, len(found.Results))
		}
		if t.Failed() {
			t.Fatal(what)
		}
	}
	s.now = s.now.Add(time.Minute)
	s.commit("alice", "INBOX", 1, nil, testMessage{100, a.day(), nil, a.message()}, testMessage{101, startTime, nil, a.message()})
	check("new mail")
	s.updateIndex()
	check("new mail in the index")
	text, err := os.ReadFile(filepath.Join(s.dir, "alice/INBOX/journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(s.dir, "alice/INBOX/journal.jsonl")
	if err := os.WriteFile(journal, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	check("an older journal")
	s.updateIndex()
	check("an older journal in the index")
	if err := os.WriteFile(journal, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.fill(4, "alice", "New", 20)
	b := a.message()
	s.commit("alice", "INBOX", 2, []archive.Event{openedEvent("INBOX", 2)}, testMessage{1, startTime.AddDate(1, 0, 0), nil, b}, testMessage{2, a.day(), nil, b})
	check("renumbered")
	s.updateIndex()
	check("renumbered, in the index")
	if err := os.Rename(filepath.Join(s.dir, "alice/Old"), filepath.Join(s.dir, "alice/Renamed")); err != nil {
		t.Fatal(err)
	}
	check("a mailbox that is elsewhere")
	s.updateIndex()
	check("a mailbox that is elsewhere in the index")
}

// A damaged message is not taken for good by the index, and found again when it is
// put back.
func TestDamagedMessage(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 10)
	found := s.search("-zzz", archive.Selection{}, 1, false)
	path := filepath.Join(s.dir, found.Results[0].Places[0].ID)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Subject: zzz\r\n\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done := s.updateIndex(); len(done.Errors) != 1 || !errors.Is(done.Errors[0], errDamagedMessage) || done.Documents != 9 {
		t.Errorf("indexed %+v", done)
	}
	if found := s.searchBothWays("zzz", archive.Selection{}, 0); len(found.Results) != 1 {
		t.Errorf("what is there is not found: %+v", found)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if found := s.search("zzz", archive.Selection{}, 0, true); len(found.Errors) != 1 || !found.UsedIndex {
		t.Errorf("a missing message: %+v", found)
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if done := s.updateIndex(); len(done.Errors) != 0 || done.Documents != 10 || done.Added != 1 {
		t.Errorf("indexed %+v", done)
	}
	s.searchBothWays("-zzz", archive.Selection{}, 0)
}

// Two writers of one index do not meet, and one that is interrupted leaves what was
// there.
func TestIndexHasOneWriter(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 5)
	release, err := lockIndex(s.indexer.Path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.indexer.Update(context.Background()); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another it says %v", err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	s.updateIndex()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.indexer.Rebuild = true
	if _, err := s.indexer.Update(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted it says %v", err)
	}
	s.indexer.Rebuild = false
	s.searchBothWays("-zzz", archive.Selection{}, 0)
}

// A message that gets a newer date, being in another mailbox too, is counted once.
func TestIndexCountsEqualMessagesOnce(t *testing.T) {
	s := newTestArchive(t)
	text := "Subject: zzz\r\n\r\nbody\r\n"
	s.commit("alice", "A", 1, []archive.Event{openedEvent("A", 1)}, testMessage{1, startTime, nil, text})
	s.commit("alice", "B", 1, []archive.Event{openedEvent("B", 1)}, testMessage{1, startTime.AddDate(1, 0, 0), nil, text})
	if done := s.updateIndex(); done.Documents != 1 || done.Added != 1 {
		t.Errorf("indexed %+v", done)
	}
}
