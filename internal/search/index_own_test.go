package search

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"archiverd/archive/history"
	"archiverd/internal/durable"
)

// An index.path, or a name beside it, that is somebody's file: no update and no search
// touches it, and searches read the archive.
func TestForeignFileIsNotReplaced(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 5)
	letter := []byte("Dear Ada\n")
	for name, prepare := range map[string]func(path string) error{
		"letter":               func(path string) error { return os.WriteFile(path, letter, 0o600) },
		"another's SQLite":     makeForeignSQLite,
		"letter where .new is": func(path string) error { return os.WriteFile(path+".new", letter, 0o600) },
		"letter beside it":     func(path string) error { return os.WriteFile(path+"-journal", letter, 0o600) },
		"directory":            func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			s.reportTo(t)
			path := filepath.Join(t.TempDir(), "mine")
			if err := prepare(path); err != nil {
				t.Fatal(err)
			}
			x := &Indexer{Archive: s.indexer.Archive, Path: path}
			if _, err := x.Update(context.Background()); !errors.Is(err, durable.ErrForeign) {
				t.Errorf("the update: %v, want ErrForeign", err)
			}
			for _, suffix := range []string{"", ".new", "-journal"} {
				if text, err := os.ReadFile(path + suffix); err == nil && string(text) != string(letter) && name != "another's SQLite" {
					t.Errorf("%s is now %q", suffix, text)
				}
			}
			query, err := Parse("-zzz", nil)
			if err != nil {
				t.Fatal(err)
			}
			report, err := (&Search{Archive: x.Archive, Query: query, Selection: history.Selection{}, Index: path}).Run(context.Background())
			if err != nil || len(report.Results) != 5 || report.UsedIndex {
				t.Errorf("the search: %+v, %v", report, err)
			}
		})
	}
}

// TestGarbledFilesBesideTheIndexAreRebuilt: what a torn write has left of the files beside an
// index of the archive's own name stops no update.
func TestGarbledFilesBesideTheIndexAreRebuilt(t *testing.T) {
	s := newTestArchive(t)
	s.fill(1, "alice", "INBOX", 5)
	for _, suffix := range []string{"-journal", sumsSuffix, sumsSuffix + ".new"} {
		path := s.indexer.Path + suffix
		writeFile(t, s.indexer.Path, nil) // no index: it is rebuilt
		writeFile(t, path, []byte("\x00\x00torn"))
		s.updateIndex()
		if report := s.search("-zzz", history.Selection{}, 0, true); len(report.Results) != 5 || !report.UsedIndex {
			t.Errorf("after %s was garbled: %+v", suffix, report)
		}
	}
}

// makeForeignSQLite makes an SQLite file as another program would.
func makeForeignSQLite(path string) (err error) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		return err
	}
	_, err = db.Exec("CREATE TABLE meta (key TEXT, value TEXT)")
	return errors.Join(err, db.Close())
}
