package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/uid"
)

// newPast makes an archive with a history of four days, at noon UTC each: on the
// 1st two messages come to INBOX, on the 2nd one is moved to Trash, on the 3rd the
// other is gone and Trash is renamed Bin, on the 4th that one's flag changes.
func newPast(t *testing.T) string {
	t.Helper()
	dir, day := t.TempDir(), 1
	w, err := archive.OpenWriter(dir, archive.Options{Now: func() time.Time { return time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	do := func(mailbox string, events ...archive.Event) {
		t.Helper()
		place, err := w.Place("home", archive.Name{Mailbox: mailbox, Delimiter: "/"})
		if err != nil {
			t.Fatal(err)
		}
		var id string
		var end archive.Position
		if v, pos, err := w.Fold(place); err == nil {
			id, end = v.Journal, pos
		}
		m, err := w.Mailbox(place, id, end)
		if err != nil {
			t.Fatal(err)
		}
		b, err := m.Batch()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Kind != archive.Added {
				b.Record(e)
				continue
			}
			body := fmt.Sprintf("From: a@example.com\r\nSubject: %s\x1b[2J\r\n\r\n", e.Reason)
			e.Reason, e.InternalDate = "", time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
			if err := b.Add(7, e, int64(len(body)), strings.NewReader(body)); err != nil {
				t.Fatal(err)
			}
		}
		w.Commit(func(archive.Sum) (string, bool) { return "", false }, b)
		if b.Err != nil {
			t.Fatal(b.Err)
		}
		if err := m.Release(); err != nil {
			t.Fatal(err)
		}
	}
	open := func(mailbox string) archive.Event {
		return archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: mailbox, Delimiter: "/"}, UIDValidity: 7}
	}
	added := func(u uint32, subject string, flags ...string) archive.Event {
		return archive.Event{Kind: archive.Added, UID: u, Reason: subject, Flags: flags}
	}
	do("INBOX", open("INBOX"), added(1, "one"), added(2, "two"))
	do("Trash", open("Trash"))
	day = 2
	do("INBOX", archive.Event{Kind: archive.Gone, UIDs: uid.Of(2)})
	do("Trash", added(5, "two", `\Deleted`))
	day = 3
	do("INBOX", archive.Event{Kind: archive.Gone, UIDs: uid.Of(1)})
	do("Bin", open("Bin"), added(5, "two", `\Deleted`))
	do("Trash", archive.Event{Kind: archive.Vanished})
	day = 4
	do("Bin", archive.Event{Kind: archive.Flags, UID: 5, Flags: []string{`\Seen`}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if out, status := look(t, dir, "verify"); status != 0 {
			t.Errorf("verify: %s", out)
		}
	})
	return dir
}

// look runs a command that only reads.
func look(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	status := run(context.WithoutCancel(t.Context()), append(args, "--archive", dir), strings.NewReader(""), &out, &errOut)
	if strings.Contains(out.String()+errOut.String(), "\x1b") {
		t.Errorf("%q prints a control character", args)
	}
	return out.String() + errOut.String(), status
}

// TestPastCommands: what list, show and log say of each day.
func TestPastCommands(t *testing.T) {
	dir := newPast(t)
	for _, c := range []struct {
		args   string
		status int
		has    []string
		lacks  []string
	}{
		{"list home --at 2026-03-01", 0, []string{"2  ", "INBOX", "Trash"}, []string{"Bin"}},
		{"list home --at 2026-03-03", 0, []string{"INBOX", "Bin"}, []string{"Trash"}},
		{"list home --at 2026-02-01", 0, nil, []string{"INBOX"}},
		{"list home INBOX --at 2026-03-01", 0, []string{"one", "two"}, nil},
		{"list home INBOX --at 2026-03-02", 0, []string{"one"}, []string{"two"}},
		{"list home INBOX --at 2026-03-02T11:59:59Z", 0, []string{"one", "two"}, nil},
		{"list home INBOX --at 2026-03-02T12:00:00Z", 0, []string{"one"}, []string{"two"}},
		{"list home Trash --at 2026-03-02", 0, []string{"two", `\Deleted`}, nil},
		{"list home Bin --at 2026-03-02", 2, []string{`had no mailbox "Bin"`}, nil},
		{"list home INBOX", 0, nil, []string{"one", "two"}},
		{"list --gone", 0, []string{"one", "INBOX", "2 more came back or were moved"}, []string{"two"}},
		{"list home --moved", 0, []string{"INBOX → Trash", "Trash → Bin", "one more is gone"}, []string{"one\\x"}},
		{"list home --gone --since 2026-03-04", 0, []string{"(nothing)"}, nil},
		{"list home INBOX --gone --at 2026-03-02", 0, []string{"one more came back"}, []string{"one\\x"}},
		{"list home INBOX --mailbox x", 2, []string{"leave out --mailbox"}, nil},
		{"show Bin/2026-02/20260201T000000Z.7.5.eml --at 2026-03-03", 0, []string{`Flags: \Deleted`}, nil},
		{"show Bin/2026-02/20260201T000000Z.7.5.eml", 0, []string{`Flags: \Seen`}, nil},
		{"show Bin/2026-02/20260201T000000Z.7.5.eml --at 2026-03-02", 2, []string{"was not archived yet"}, nil},
		{"log", 0, []string{"INBOX: 1 created, 2 arrived", "INBOX → Trash", `+\Deleted`, "Trash → Bin, with 1 message", `+\Seen -\Deleted`, "gone "}, []string{"vanished"}},
		{"log home INBOX --since 2026-03-02 --until 2026-03-02", 0, []string{"INBOX: 1 moved", "INBOX → Trash"}, []string{"arrived", "gone"}},
		{"log --since 2026-03-05", 0, []string{"(nothing)"}, nil},
		{"list home INBOX --at 2026-02-01", 2, []string{`nothing of account "home" was archived yet`}, nil},
		{"log --short", 0, []string{"Bin: 1 renamed"}, []string{"two"}},
		{"log home --since 2026-03-04 --until 2026-03-03", 2, []string{"nothing happened both"}, nil},
		{"log nobody", 2, []string{`no account "nobody"`}, nil},
	} {
		got, status := look(t, dir, strings.Fields(c.args)...)
		if status != c.status {
			t.Errorf("%s: status %d, want %d\n%s", c.args, status, c.status, got)
		}
		for _, text := range c.has {
			if !strings.Contains(got, text) {
				t.Errorf("%s does not print %q:\n%s", c.args, text, got)
			}
		}
		for _, text := range c.lacks {
			if strings.Contains(got, text) {
				t.Errorf("%s prints %q:\n%s", c.args, text, got)
			}
		}
	}
	// What can't be read is named, and keeps nobody from the rest.
	for _, mailbox := range []string{"alone/INBOX", "home/Aside"} {
		if err := os.MkdirAll(filepath.Join(dir, mailbox, "journal.jsonl"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for args, says := range map[string][]string{
		"list home INBOX --at 2026-03-01": {"one", "two"},
		"list home Bin":                   {"two"},
		"log":                             {"INBOX: 1 created, 2 arrived", "log of mailbox alone/INBOX", "log of mailbox home/Aside"},
		"log --since 2026-03-05":          {"(nothing)", "log of mailbox alone/INBOX", "log of mailbox home/Aside"},
		"log home Bin --short":            {"1 renamed", "log of mailbox home/Aside"},
		"list home Nowhere":               {`no mailbox "Nowhere"`, "home/Aside/journal.jsonl"},
	} {
		got, status := look(t, dir, strings.Fields(args)...)
		for _, text := range says {
			if !strings.Contains(got, text) {
				t.Errorf("%s does not print %q:\n%s", args, text, got)
			}
		}
		if ok := strings.HasPrefix(args, "list home INBOX") || strings.HasPrefix(args, "list home Bin"); ok != (status == 0) {
			t.Errorf("%s: status %d", args, status)
		}
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "alone")), os.RemoveAll(filepath.Join(dir, "home", "Aside"))); err != nil {
		t.Fatal(err)
	}
	var changes []loggedChange
	got, _ := look(t, dir, "log", "--json")
	if err := json.Unmarshal([]byte(got), &changes); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, c := range changes {
		kinds = append(kinds, c.Kind)
	}
	if got, want := strings.Join(kinds, " "), "created arrived arrived created moved flags renamed gone flags"; got != want {
		t.Errorf("the log has %s, want %s", got, want)
	}
}
