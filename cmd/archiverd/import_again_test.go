package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// importStory is a Maildir that changes between imports of it.
type importStory struct {
	*site
	maildir string
	date    time.Time // of the files that are written next
}

// path is the path of a message's file.
func (s *importStory) path(name string) string { return filepath.Join(s.maildir, "cur", name) }

func (s *importStory) create(name, text string) {
	s.t.Helper()
	writeFile(s.t, s.path(name), []byte(text))
	if err := os.Chtimes(s.path(name), s.date, s.date); err != nil {
		s.t.Fatal(err)
	}
}

func (s *importStory) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(s.path(from), s.path(to)); err != nil {
		s.t.Fatal(err)
	}
}

// importAgain imports the Maildir and checks how many messages it adds and how many
// get other flags. INBOX then has these messages, each as its octets and flags, with
// UIDs from 1.
func (s *importStory) importAgain(what string, added, flags int, want ...string) {
	s.t.Helper()
	run := s.importFiles(0, "--account", "old", s.maildir)
	if run.Sum.Added != added || run.Sum.FlagsChanged != flags {
		s.t.Errorf("%s: %d were added and %d got other flags, want %d and %d", what, run.Sum.Added, run.Sum.FlagsChanged, added, flags)
	}
	var list []listedMessage
	var got []string
	s.run("list", "--json", "old", "INBOX").want(0).decode(&list)
	for i, m := range list {
		if m.UID != uint32(i+1) {
			s.t.Errorf("%s: UID %d, want %d", what, m.UID, i+1)
		}
		got = append(got, fmt.Sprint(string(read(s.t, filepath.Join(s.archive, m.ID))), m.Flags))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// TestImportAgain: a message that the source has twice is archived twice, and not
// again by the next import. A message that the source loses stays in the archive.
// The archive has the source's flags of the last import.
func TestImportAgain(t *testing.T) {
	t.Parallel()
	s := &importStory{site: newSite(t), date: time.Date(2026, 11, 7, 12, 0, 0, 0, time.UTC)}
	s.configure(elsewhere)
	s.maildir = filepath.Join(s.dir, "tree")
	if err := os.MkdirAll(filepath.Join(s.maildir, "new"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.create("1.a:2,", "a")
	s.create("2.a:2,S", "a")
	s.importAgain("a twice", 2, 0, "a[]", `a[\Seen]`)
	s.importAgain("no change", 0, 0, "a[]", `a[\Seen]`)
	s.create("3.a:2,", "a")
	s.create("4.b:2,F", "b")
	s.importAgain("a three times", 2, 0, "a[]", `a[\Seen]`, "a[]", `b[\Flagged]`)
	s.rename("1.a:2,", "1.a:2,S")
	s.rename("4.b:2,F", "4.b:2,FR")
	s.importAgain("other flags", 0, 2, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`)
	if err := os.Remove(s.path("2.a:2,S")); err != nil {
		t.Fatal(err)
	}
	s.importAgain("one removed", 0, 0, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`)
	s.date = s.date.Add(time.Second)
	s.create("5.b:2,", "b")
	s.importAgain("another date", 1, 0, `a[\Seen]`, `a[\Seen]`, "a[]", `b[\Answered \Flagged]`, "b[]")
}
