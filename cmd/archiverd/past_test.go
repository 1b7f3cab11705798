package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/imapd"
	"archiverd/internal/uid"
)

// pastWriter writes an archive with a history in account home. Each of its days has
// one time, noon UTC.
type pastWriter struct {
	t   *testing.T
	dir string
	day int // of March 2026
	w   *archive.Writer
}

func newPastWriter(t *testing.T) *pastWriter {
	t.Helper()
	p := &pastWriter{t: t, dir: t.TempDir(), day: 1}
	var err error
	p.w, err = archive.OpenWriter(p.dir, archive.Options{Now: func() time.Time { return time.Date(2026, 3, p.day, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// close closes the archive and returns its directory. After the test the archive
// must verify.
func (p *pastWriter) close() string {
	p.t.Helper()
	if err := p.w.Close(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if out, status := runOn(p.t, p.dir, "verify"); status != 0 {
			p.t.Errorf("verify: %s", out)
		}
	})
	return p.dir
}

// commit commits the events to a mailbox.
func (p *pastWriter) commit(mailbox string, events ...archive.Event) {
	p.t.Helper()
	place, err := p.w.DirectoryOf("home", archive.Name{Mailbox: mailbox, Delimiter: "/"})
	if err != nil {
		p.t.Fatal(err)
	}
	var id string
	var end archive.Position
	if v, pos, err := p.w.Fold(place); err == nil {
		id, end = v.Journal, pos
	}
	m, err := p.w.Mailbox(place, archive.JournalState{ID: id, End: end})
	if err != nil {
		p.t.Fatal(err)
	}
	b, err := m.Batch()
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range events {
		if e.Kind != archive.Added {
			b.Record(e)
			continue
		}
		body := pastBody(e.Reason)
		e.Reason, e.InternalDate = "", pastDate
		if err := b.Add(7, e, int64(len(body)), strings.NewReader(body)); err != nil {
			p.t.Fatal(err)
		}
	}
	p.w.Commit(nil, b)
	if b.Err != nil {
		p.t.Fatal(b.Err)
	}
	if err := m.Release(); err != nil {
		p.t.Fatal(err)
	}
}

// pastDate is the INTERNALDATE of every message.
var pastDate = time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)

func pastBody(subject string) string {
	return fmt.Sprintf("From: a@example.com\r\nSubject: %s\x1b[2J\r\n\r\n", subject)
}

func opened(mailbox string) archive.Event {
	return archive.Event{Kind: archive.Opened, Name: archive.Name{Mailbox: mailbox, Delimiter: "/"}, UIDValidity: 7}
}

func added(u uint32, subject string, flags ...string) archive.Event {
	return archive.Event{Kind: archive.Added, UID: u, Reason: subject, Flags: flags}
}

func failed(u uint32, reason string) archive.Event {
	return archive.Event{Kind: archive.Failed, UID: u, Reason: reason}
}

// newPast makes an archive with a history of four days: on the 1st two messages
// arrive in INBOX, on the 2nd one is moved to Trash, on the 3rd the other is gone
// and Trash is renamed Bin, on the 4th the flag of the message in Bin changes.
func newPast(t *testing.T) string {
	t.Helper()
	p := newPastWriter(t)
	p.commit("INBOX", opened("INBOX"), added(1, "one"), added(2, "two"))
	p.commit("Trash", opened("Trash"))
	p.day = 2
	p.commit("INBOX", archive.Event{Kind: archive.Gone, UIDs: uid.Of(2)})
	p.commit("Trash", added(5, "two", `\Deleted`))
	p.day = 3
	p.commit("INBOX", archive.Event{Kind: archive.Gone, UIDs: uid.Of(1)})
	p.commit("Bin", opened("Bin"), added(5, "two", `\Deleted`))
	p.commit("Trash", archive.Event{Kind: archive.Vanished})
	p.day = 4
	p.commit("Bin", archive.Event{Kind: archive.Flags, UID: 5, Flags: []string{`\Seen`}})
	return p.close()
}

// runOn runs a command that reads the archive in dir, and returns its output and its
// exit status.
func runOn(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	var out, errOut bytes.Buffer
	status := run(context.WithoutCancel(t.Context()), append(args, "--archive", dir), strings.NewReader(""), &out, &errOut)
	if strings.Contains(out.String()+errOut.String(), "\x1b") {
		t.Errorf("%q prints a control character", args)
	}
	return out.String() + errOut.String(), status
}

// pastCase is a command that reads an archive with a history, and what it prints.
type pastCase struct {
	args      string
	status    int
	prints    []string
	printsNot []string
}

var pastCases = []pastCase{
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
	{"log home --since 2026-03-04 --until 2026-03-03", 2, []string{"--since 2026-03-04 is later than --until 2026-03-03"}, nil},
	{"log nobody", 2, []string{`no account "nobody"`}, nil},
}

// unreadableCases are commands that read an archive in which the journals of two
// mailboxes, alone/INBOX and home/Aside, are unreadable.
var unreadableCases = []pastCase{
	{"list home INBOX --at 2026-03-01", 0, []string{"one", "two"}, nil},
	{"list home Bin", 0, []string{"two"}, nil},
	{"log", 1, []string{"INBOX: 1 created, 2 arrived", "log of mailbox alone/INBOX", "log of mailbox home/Aside"}, nil},
	{"log --since 2026-03-05", 1, []string{"(nothing)", "log of mailbox alone/INBOX", "log of mailbox home/Aside"}, nil},
	{"log home Bin --short", 1, []string{"1 renamed", "log of mailbox home/Aside"}, nil},
	{"list home Nowhere", 2, []string{`no mailbox "Nowhere"`, "home/Aside/journal.jsonl"}, nil},
}

// check runs the command on the archive dir.
func (c pastCase) check(t *testing.T, dir string) {
	t.Helper()
	got, status := runOn(t, dir, strings.Fields(c.args)...)
	if status != c.status {
		t.Errorf("%s: status %d, want %d\n%s", c.args, status, c.status, got)
	}
	for _, text := range c.prints {
		if !strings.Contains(got, text) {
			t.Errorf("%s does not print %q:\n%s", c.args, text, got)
		}
	}
	for _, text := range c.printsNot {
		if strings.Contains(got, text) {
			t.Errorf("%s prints %q:\n%s", c.args, text, got)
		}
	}
}

// TestPastCommands: list, show and log print the archive as it was on each day.
func TestPastCommands(t *testing.T) {
	dir := newPast(t)
	for _, c := range pastCases {
		c.check(t, dir)
	}
	var changes []loggedChange
	got, _ := runOn(t, dir, "log", "--json")
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

// TestPastCommandsNameUnreadableJournals: a command names the journals that it can't
// read, and prints the other mailboxes.
func TestPastCommandsNameUnreadableJournals(t *testing.T) {
	dir := newPast(t)
	for _, mailbox := range []string{"alone/INBOX", "home/Aside"} {
		if err := os.MkdirAll(filepath.Join(dir, mailbox, "journal.jsonl"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range unreadableCases {
		c.check(t, dir)
	}
	if err := errors.Join(os.RemoveAll(filepath.Join(dir, "alone")), os.RemoveAll(filepath.Join(dir, "home", "Aside"))); err != nil {
		t.Fatal(err) // the archive must verify
	}
}

// TestLogFailures: log prints each message that could not be archived, once for each
// reason, and its later state.
func TestLogFailures(t *testing.T) {
	t.Parallel()
	p := newPastWriter(t)
	p.commit("INBOX", opened("INBOX"), failed(1, "too\x1b[2J odd"), failed(2, "no body"), failed(3, "no body"))
	p.day = 2
	p.commit("INBOX", failed(3, "no body"), added(1, "one"), failed(1, "means nothing now"))
	p.day = 3
	p.commit("INBOX", archive.Event{Kind: archive.Gone, UIDs: uid.Of(2)}, failed(3, "another reason"))
	dir := p.close()
	const head = "  INBOX: "
	for _, c := range []struct {
		args string
		want string // every line, without the time in front of the headings
	}{
		{"log", head + "1 created, 3 failed\n" +
			"  created     the mailbox, UIDVALIDITY 7\n" +
			"  failed      UID 1: too\\x1b[2J odd\n  failed      UID 2: no body\n  failed      UID 3: no body\n" +
			head + "1 arrived\n" +
			"  arrived     a@example.com                 one\\x1b[2J                                    " +
			"failed before: too\\x1b[2J odd  home/INBOX/2026-02/20260201T000000Z.7.1.eml\n" +
			head + "1 gone, 1 failed\n" +
			"  gone        UID 2, which could not be archived: no body\n  failed      UID 3: another reason\n"},
		{"log home INBOX --short --since 2026-03-02", head + "1 arrived\n" + head + "1 gone, 1 failed\n"},
	} {
		got, status := runOn(t, dir, strings.Fields(c.args)...)
		lines := strings.SplitAfter(got, "\n")
		for i, l := range lines {
			if at := strings.Index(l, head); at > 0 {
				lines[i] = l[at:]
			}
		}
		if got := strings.Join(lines, ""); got != c.want || status != 0 {
			t.Errorf("%s: status %d\n%s\nwant\n%s", c.args, status, got, c.want)
		}
	}
	text, status := runOn(t, dir, "log", "--json")
	var changes []loggedChange
	if err := json.Unmarshal([]byte(text), &changes); err != nil || status != 0 {
		t.Fatal(status, err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%d %s %d %q %t", c.At.Day(), c.Kind, c.UID, c.Reason, c.SHA256 != ""))
	}
	want := []string{`1 created 0 "" false`, `1 failed 1 "too\x1b[2J odd" false`, `1 failed 2 "no body" false`, `1 failed 3 "no body" false`,
		`2 arrived 1 "too\x1b[2J odd" true`, `3 gone 2 "no body" false`, `3 failed 3 "another reason" false`}
	if !slices.Equal(got, want) {
		t.Errorf("--json has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRestoreFlagsOfThen: --flags-only with --at sets the flags of that time on the
// messages that the server has, in the mailbox of that time's name, and appends
// nothing.
func TestRestoreFlagsOfThen(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	dir := newPast(t)
	message := imapd.Message{Flags: []string{`\Flagged`, "kept"}, InternalDate: pastDate, Body: []byte(pastBody("two"))}
	other := imapd.Message{Flags: []string{`\Answered`}, InternalDate: pastDate, Body: []byte("Subject: not in the archive\r\n\r\n")}
	boxes := map[string]*imapd.Mailbox{}
	for _, name := range []string{"INBOX", "Trash", "Bin"} {
		boxes[name] = s.mailbox(s.bob, name)
		boxes[name].Append(other)
	}
	boxes["Trash"].Append(message)
	boxes["Bin"].Append(message)
	flags := func() string {
		var out []string
		for _, name := range []string{"INBOX", "Trash", "Bin"} {
			for _, m := range boxes[name].Messages() {
				slices.Sort(m.Flags)
				out = append(out, fmt.Sprint(name, m.Flags))
			}
		}
		return strings.Join(out, " ")
	}
	const untouched = `INBOX[\Answered] Trash[\Answered] `
	before := flags()
	for _, c := range []struct{ at, says, want string }{
		{"2026-02-01", "nothing to restore", before},
		{"2026-03-01", "nothing to do", before}, // INBOX has neither of them, and Trash was empty
		{"2026-03-02", "flags of 1 message set", untouched + `Trash[\Deleted] Bin[\Answered] Bin[\Flagged kept]`},
		{"2026-03-03", "flags of 1 message set", untouched + `Trash[\Deleted] Bin[\Answered] Bin[\Deleted]`},
		{"2026-03-04", "flags of 1 message set", untouched + `Trash[\Deleted] Bin[\Answered] Bin[\Seen]`},
		{"2026-03-03T12:00:00Z", "flags of 1 message set", untouched + `Trash[\Deleted] Bin[\Answered] Bin[\Deleted]`},
		{"2026-03-03T12:00:00Z", "nothing to do", untouched + `Trash[\Deleted] Bin[\Answered] Bin[\Deleted]`},
	} {
		args := []string{"restore", "--to", "bob", "--from", "home", "--archive", dir, "--flags-only", "--at", c.at}
		was := flags()
		s.run(append(args, "--dry-run")...)
		if got := flags(); got != was {
			t.Errorf("at %s: a dry run has made of %s\n%s", c.at, was, got)
		}
		r := s.run(append(args, "--yes")...)
		if got := flags(); got != c.want || !strings.Contains(r.out+r.err, c.says) {
			t.Errorf("at %s the server has\n%s, want\n%s\n%s%s", c.at, got, c.want, r.out, r.err)
		}
	}
	if got := s.bob.Names(); len(got) != 3 {
		t.Errorf("the mailboxes are %q", got)
	}
	s.run("sync").want(0)
}
