package source

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// write makes files below a folder; a name that ends in / is a folder.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		folder := filepath.Dir(path)
		if strings.HasSuffix(name, "/") {
			folder = path
		}
		err := os.MkdirAll(folder, 0o700)
		if err == nil && folder != path {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// told is what was found, a line a message: mailbox, octets, flags.
func told(t testing.TB, found *Found) (lines []string) {
	t.Helper()
	for _, b := range found.Mailboxes {
		name := strings.Join(b.Levels, "|")
		lines = append(lines, name)
		for m, err := range b.Messages(t.Context()) {
			if err != nil {
				lines = append(lines, name+" failed")
				continue
			}
			for range 2 { // as often as one likes
				r, err := m.Octets()
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				lines = append(lines, fmt.Sprintf("%s %q %q %v", name, text, m.Flags, m.HasFlags))
			}
			if n := len(lines); lines[n-1] != lines[n-2] {
				t.Errorf("read twice: %s and %s", lines[n-2], lines[n-1])
			}
			lines = lines[:len(lines)-1]
		}
	}
	return lines
}

// from is the From_ line of an mbox.
const from = "From a@b Sat Nov  7 12:00:00 2026\n"

var findTests = map[string]struct {
	files  map[string]string
	args   []string // below the folder; nil: the folder
	o      Options
	want   []string
	passed int
	failed []string
}{
	"a folder": {
		files: map[string]string{"a.eml": "a: 1\n\nx\n", "b.EML": "b: 1\r\n", "Lists/go/c.eml": "c", "Lists/d.eml": "", "Lists/notes.txt": "From: me\n", ".git/e.eml": "e"},
		want:  []string{"INBOX", `INBOX "a: 1\n\nx\n" [] false`, `INBOX "b: 1\r\n" [] false`, "Lists", `Lists "" [] false`, "Lists|go", `Lists|go "c" [] false`}, passed: 1,
	},
	"as the archive has it": {
		files: map[string]string{"INBOX/2026-11/20261122T183000Z.1700000000.123.eml": "a", "INBOX/2026-10/20261022T183000Z.1700000000.12.eml": "b",
			"R&D%2F1/2026-11/20261122T183000Z.1.1.eml": "c", "2026-11/mine.eml": "d"},
		want: []string{"INBOX", `INBOX "b" [] false`, `INBOX "a" [] false`, "2026-11", `2026-11 "d" [] false`, "R&D/1", `R&D/1 "c" [] false`},
	},
	"Maildir++": {
		files: map[string]string{"cur/10.x:2,FSa": "a\nb\n", "cur/9.x": "c\r\nd\n", "new/11.x": "", "tmp/12.x": "no", "dovecot-keywords": "0 work\n", "dovecot.index": "x",
			".Lists.go/cur/": "", ".Lists.go/new/1.x": "e", ".Lists.go/maildirfolder": "", ".Entw&APw-rfe/cur/1.x:2,": "f", ".Entw&APw-rfe/new/": "", ".v1%2E2/cur/": "", ".v1%2E2/tmp/": "", ".imap/x": ""},
		want: []string{"INBOX", `INBOX "c\r\nd\n" [] true`, `INBOX "a\r\nb\r\n" ["\\Flagged" "\\Seen" "work"] true`, `INBOX "" [] true`,
			"Entwürfe", `Entwürfe "f" [] true`, "Lists|go", `Lists|go "e" [] true`, "v1.2"},
	},
	"nested": {
		files: map[string]string{"Lists/go/cur/1.x:2,T": "a", "Lists/go/new/": "", "Lists/cur/": "", "Lists/new/": "", "%63ur/cur/1.x": "b", "%63ur/new/": ""},
		want:  []string{"Lists", "Lists|go", `Lists|go "a" ["\\Deleted"] true`, "cur", `cur "b" [] true`},
	},
	"Thunderbird": {
		files: map[string]string{"Inbox": from + "a: b\n\nc\n", "Inbox.msf": "x", "Inbox.sbd/Old &APw-": from + "X-Mozilla-Status: 0001\nd: e\n", "Drafts": ""},
		want:  []string{"INBOX", `INBOX "a: b\r\n\r\nc\r\n" [] false`, "INBOX|Old ü", `INBOX|Old ü "d: e\r\n" ["\\Seen"] true`}, passed: 2,
	},
	"Apple Mail": {
		files: map[string]string{"Work.mbox/mbox": from + "a: b\n\nc\n", "Work.mbox/table_of_contents": "x"},
		want:  []string{"Work", `Work "a: b\r\n\r\nc\r\n" [] false`}, passed: 1,
	},
	"files": {
		files: map[string]string{"x.mbox": from + "a: b\n\n", "letter": "Subject: x\n", "empty.mbox": "", "no.mbox": "x", "y.mbox.gz": "\x1f\x8bx", "what": "what?\n"},
		args:  []string{"x.mbox", "letter", "letter", "empty.mbox", "no.mbox", "y.mbox.gz", "what", "nowhere"},
		want:  []string{"INBOX", `INBOX "Subject: x\n" [] false`, "empty", "x", `x "a: b\r\n" [] false`}, failed: []string{"no.mbox", "y.mbox.gz", "what", "nowhere"},
	},
	"names": {
		files: map[string]string{"x.mbox": from + "a: b\n", "dir/a.eml": "a", "dir/sub/b.eml": "b", "dir/c.mbox": from},
		args:  []string{"x.mbox", "dir"}, o: Options{Mailbox: []string{"New", "er"}, Into: []string{"inbox"}},
		want: []string{"INBOX|New|er", `INBOX|New|er "a: b\r\n" [] false`, `INBOX|New|er "a" [] false`, "INBOX|c", `INBOX|c "" [] false`, "INBOX|sub", `INBOX|sub "b" [] false`},
	},
	"line ends": {
		files: map[string]string{"cur/1.x": "a\n", "new/": "", "x": from + "b: c\n"}, o: Options{KeepLineEnds: true},
		want: []string{"INBOX", `INBOX "a\n" [] true`, "x", `x "b: c\n" [] false`},
	},
	"only .eml": {
		files: map[string]string{"a.eml": "a", "dir/2026-11/20261122T183000Z.1.1.eml": "b", "dir/.hidden/c.eml": "c", "dir/cur/d.eml": "d", "dir/new/1.x": "x", "dir/m.mbox": from, "x.zip": "PK\x03\x04", "letter": "Subject: x\n"},
		args:  []string{"dir", "a.eml", "dir/cur/d.eml", "x.zip", "letter"}, o: Options{OnlyEML: true},
		want: []string{"INBOX", `INBOX "c" [] false`, `INBOX "b" [] false`, `INBOX "d" [] false`, `INBOX "a" [] false`}, failed: []string{"x.zip", "letter"},
	},
	"compressed by the server": {
		files: map[string]string{"cur/1.x": "\x1f\x8bx", "cur/2.x": "a", "new/": ""}, want: []string{"INBOX", "INBOX failed", `INBOX "a" [] true`},
	},
}

func TestFind(t *testing.T) {
	for name, c := range findTests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			args := []string{dir}
			for i, a := range c.args {
				args = append(args[:i], filepath.Join(dir, a))
			}
			found, err := Find(t.Context(), args, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if got := told(t, found); !slices.Equal(got, c.want) {
				t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			var failed []string
			for _, f := range found.Failed {
				failed = append(failed, filepath.Base(f.Path))
			}
			if len(found.Skipped) != c.passed || !slices.Equal(failed, c.failed) {
				t.Errorf("skipped %q, failed %v", found.Skipped, found.Failed)
			}
		})
	}
}

// TestFindTime: a Maildir's times, an mbox's dates, and what has none.
func TestFindTime(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"cur/1.x": "a", "new/": "", "box": "From a@b Sat Nov  7 12:00:00 2026\na: b\n\nFrom - \nDate: Mon, 2 Nov 2026 10:00:00 +0200\n\nFrom - \nc: d\n"})
	when := time.Date(2020, 1, 2, 3, 4, 5, 999, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "cur/1.x"), when, when); err != nil {
		t.Fatal(err)
	}
	found, err := Find(t.Context(), []string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, b := range found.Mailboxes {
		for m, err := range b.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Date.Format(time.RFC3339))
		}
	}
	if want := []string{"2020-01-02T03:04:05Z", "2026-11-07T12:00:00Z", "2026-11-02T10:00:00+02:00", "0001-01-01T00:00:00Z"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestMovedMeanwhile: a message that is seen between the listing and the reading has
// another name then.
func TestMovedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"new/1.x": "a", "cur/2.x:2,": "b", "cur/3.x:2,": "c"})
	found, err := Find(t.Context(), []string{dir}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{"new/1.x": "cur/1.x:2,S", "cur/2.x:2,": "cur/2.x:2,F"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "cur/3.x:2,")); err != nil {
		t.Fatal(err)
	}
	want := []string{"INBOX", `INBOX "a" ["\\Seen"] true`, `INBOX "b" ["\\Flagged"] true`, "INBOX failed"}
	if got := told(t, found); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLinks(t *testing.T) {
	outer := t.TempDir()
	write(t, outer, map[string]string{"a.eml": "a", "box/": ""})
	dir := filepath.Join(outer, "box")
	for _, to := range []string{"../a.eml", "..", "."} {
		if err := os.Symlink(to, filepath.Join(dir, fmt.Sprint("link", len(to)))); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Find(t.Context(), []string{dir}, Options{})
	if err != nil || len(found.Mailboxes) != 0 || len(found.Skipped) != 3 {
		t.Errorf("%+v, %v", found, err)
	}
	found, err = Find(t.Context(), []string{filepath.Join(dir, "link8"), outer}, Options{})
	if err != nil || len(found.Mailboxes) != 1 || found.Mailboxes[0].Count() != 1 {
		t.Errorf("what a link that is named points to: %+v, %v", found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Find(ctx, []string{outer}, Options{}); err == nil {
		t.Error("no error when it is to stop")
	}
}

// TestNoFilesInMaildir: in a Maildir, too, no link is followed and no pipe waited for,
// not even one that takes a message's place when it has been listed.
func TestNoFilesInMaildir(t *testing.T) {
	outer := t.TempDir()
	write(t, outer, map[string]string{"secret": "a", "box/cur/1.x:2,S": "a", "box/cur/2.x:2,S": "b", "box/cur/3.x:2,S": "c", "box/new/": ""})
	dir := filepath.Join(outer, "box")
	link := func(name string) {
		t.Helper()
		if err := os.Symlink("../../secret", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	pipe := func(name string) {
		t.Helper()
		if err := syscall.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link("cur/4.x:2,S")
	pipe("new/5.x")
	pipe("dovecot-keywords")
	found, err := Find(t.Context(), []string{dir}, Options{})
	if err != nil || len(found.Skipped) != 2 || found.Links != 1 || len(found.Failed) != 1 {
		t.Errorf("%+v, %v", found, err)
	}
	for _, name := range []string{"cur/2.x:2,S", "cur/3.x:2,S"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("cur/2.x:2,S")
	pipe("cur/3.x:2,S")
	want := []string{"INBOX", `INBOX "a" ["\\Seen"] true`, "INBOX failed", "INBOX failed"}
	if got := told(t, found); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzRead reads whatever lies in a file, as an .eml, as an mbox and in a Maildir.
func FuzzRead(f *testing.F) {
	f.Add("1700000000.x:2,S", "a: b\r\n\r\nc\n", "0 work\n")
	f.Add("x!2,Tab", "From - \nStatus: R\n\n>From a\n\nFrom a@b Sat Nov  7 12:00:00 2026\n", "1 \n\xff")
	f.Fuzz(func(t *testing.T, name, text, keywords string) {
		name = strings.Map(func(r rune) rune {
			if r == '/' || r == 0 {
				return '_'
			}
			return r
		}, name)
		if len(name) > 200 || strings.HasPrefix(name, ".") || name == "" {
			return
		}
		dir := t.TempDir()
		write(t, dir, map[string]string{"a.eml": text, "box.mbox": text, "m/cur/" + name: text, "m/new/": "", "m/dovecot-keywords": keywords})
		found, err := Find(t.Context(), []string{dir}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := told(t, found)
		if want := fmt.Sprintf("INBOX %q [] false", text); !slices.Contains(lines, want) {
			t.Errorf("the .eml file is not as it is: %q", lines)
		}
		if !strings.Contains(text, "\r\n") {
			text = strings.ReplaceAll(text, "\n", "\r\n")
		}
		if want := fmt.Sprintf("m %q ", text); !isCompressed([]byte(text)) && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
			t.Errorf("the Maildir's is not as it is: %q", lines)
		}
	})
}
