package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/imapd"
	"archiverd/internal/testing/dovecot"
)

// TestRestoreFiles restores plain files: each once, also by a second restore, with
// the date of its name, its header or the file, and none outside the directory.
func TestRestoreFiles(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	folder := filepath.Join(s.dir, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	named := "Date: Thu, 1 Jan 2015 00:00:00 +0000\n\nby its name"
	dated := "Received: from a; Thu, 5 Feb 2015 10:00:00 +0100\r\nDate: Thu, 5 Feb 2015 09:00:00 +0200\r\n\r\nby its header\r\n"
	s.write("folder/20140203T040506Z.17.4.eml", named)
	s.write("folder/sub/b.EML", dated)
	s.write("folder/sub/c.eml", "no header")
	s.write("folder/sub/notes.txt", "Subject: none\r\n\r\n")
	s.write("secret.eml", "Subject: outside\r\n\r\n")
	changed := time.Date(2013, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(folder, "sub", "c.eml"), changed, changed); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link.eml": "../secret.eml", "up": ".."} {
		if err := os.Symlink(to, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string][]imapd.Message{"Rescued/2026": {
		{InternalDate: time.Date(2014, 2, 3, 4, 5, 6, 0, time.UTC), Body: []byte(named)},
		{InternalDate: time.Date(2015, 2, 5, 10, 0, 0, 0, time.FixedZone("", 3600)), Body: []byte(dated)},
		{InternalDate: changed, Body: []byte("no header")},
	}}
	args := []string{"restore", "--to", "bob", "--mailbox", "Rescued/2026", "--yes", "folder"}
	s.run(args...).want(0).says("2 symbolic links in directories skipped").prints("from 3 files\n", "Rescued/2026  (new)", "3 messages appended")
	box := s.mailbox(s.bob, "Rescued/2026")
	if got := contents(box.Messages()); !slices.Equal(got, contents(want["Rescued/2026"])) {
		t.Errorf("from the files came\n%q, want\n%q", got, contents(want["Rescued/2026"]))
	}
	s.run(args...).want(0).prints("nothing to do: ")
	s.run(append(args, "folder/sub/b.EML", "secret.eml", "folder/link.eml")...).want(0).prints("from 4 files\n", "1 message appended") // named, a link is followed
	if n := len(box.Messages()); n != 4 {
		t.Errorf("the mailbox has %d messages, want 4", n)
	}
	// A restore of files needs no archive.
	s.write("config.yaml", strings.Replace(string(read(t, s.config)), s.archive, filepath.Join(s.dir, "none"), 1))
	s.run(args...).want(0).prints("nothing to do: ")
}

// TestRestoreRealMail restores a directory of real mail to a server: octet for
// octet, and only once.
func TestRestoreRealMail(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	folder := filepath.Join(s.dir, "real")
	want := map[string]int{}
	for i, f := range dovecot.Mail(t) {
		if len(f.Data) > 0 {
			s.write(fmt.Sprintf("%d.eml", i), string(f.Data))
			want[string(f.Data)]++
		}
	}
	s.write("1000000.eml", "Subject: without the variable the only one\r\n\r\n")
	want[string(read(t, filepath.Join(s.dir, "1000000.eml")))] = 1
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(s.dir, "*.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range list {
		if err := os.Rename(path, filepath.Join(folder, filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
	}
	r := s.run("restore", "--to", "bob", "--mailbox", "Real", "--yes", folder).want(0)
	checkPrintable(t, "restore", r.out+r.err)
	got := map[string]int{}
	for _, m := range s.mailbox(s.bob, "Real").Messages() {
		text, err := io.ReadAll(m.Reader())
		if err != nil {
			t.Fatal(err)
		}
		if got[string(text)]++; m.InternalDate.Year() < 1970 || m.InternalDate.After(time.Now().AddDate(0, 0, 2)) {
			t.Errorf("a message is of %v:\n%.200q", m.InternalDate, text)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%d different messages are there, want %d, each as often as it was given", len(got), len(want))
	}
	s.run("restore", "--to", "bob", "--mailbox", "Real", folder).want(0).prints("nothing to do: ")
	t.Logf("%d messages", len(want))
}
