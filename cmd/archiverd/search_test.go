package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"archiverd/internal/imapd"
)

// finds returns what search --json finds.
func (s *site) finds(args ...string) (out []string) {
	s.t.Helper()
	var list []foundMessage
	s.run(append([]string{"search", "--json"}, args...)...).want(0).decode(&list)
	for _, m := range list {
		out = append(out, m.ID)
	}
	return out
}

// TestSearch searches without an index and with one.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	const evil = "\x1b]0;owned\x07 Zahlungserinnerung für Größe"
	day := time.Date(2026, 12, 24, 12, 0, 0, 0, time.UTC)
	body := []byte("From: \"Müller, Jörg\" <joerg@example.com>\r\nSubject: " + evil + "\r\n\r\n東京都庁 text\r\n")
	s.mailbox(s.alice, "INBOX").Append(imapd.Message{Body: body, InternalDate: day, Flags: []string{`\Flagged`}})
	s.mailbox(s.alice, "Lists/go").Append(imapd.Message{Body: body, InternalDate: day.Add(-time.Hour)})
	s.run("sync", "alice").want(0)
	for _, indexed := range []bool{false, true} {
		if indexed {
			s.run("index").want(0)
		}
		for query, want := range map[string]int{
			"subject:inbox": 5, "bare": 10, "grosse": 1, "FÜR": 1, "zahlung*": 1, "zahlung": 0, "京都": 1, "from:muller": 1,
			"bare -mailbox:inbox": 5, "bare mailbox:lists/*": 3, "flag:flagged": 1, "bare before:2026-11-02": 3,
			"has:attachment": 0, `"bare LF"`: 10, `"LF bare"`: 0, "smaller:100 lf": 10,
		} {
			if got := s.finds(query); len(got) != want {
				t.Errorf("indexed %v: %s finds %q, want %d", indexed, query, got, want)
			}
		}
		r := s.run("search", "grosse").want(0)
		checkPrintable(t, "search", r.out+r.err)
		for _, text := range []string{"2026-12-24 12:00", "Müller, Jörg", "INBOX +1", "alice/INBOX/2026-12/", "Zahlungserinnerung für"} {
			if !strings.Contains(r.out, text) {
				t.Errorf("it does not print %q:\n%s", text, r.out)
			}
		}
		if r.err != "1 message found\n" { // and no note that an index is not used
			t.Errorf("it says %q", r.err)
		}
		if r := s.run("search", "bare", "--limit", "2").want(0); strings.Count(r.out, "\n") != 2 || !strings.Contains(r.err, "there are more") {
			t.Errorf("with a limit it prints %s%s", r.out, r.err)
		}
		if got := s.finds("--", "-bare"); len(got) != 1 {
			t.Errorf("-bare finds %q", got)
		}
	}
	for _, c := range [][]string{{"from:"}, {"-bare"}, {"x", "--limit", "-1"}, {"x", "--nonsense"}, {"x", "--account", "nobody"}, {"x", "--mailbox", "nothing"}, {"after:someday"}} {
		r := s.run(append([]string{"search"}, c...)...).want(2)
		checkPrintable(t, strings.Join(c, " "), r.err)
	}
	s.run("restore", "--to", "bob", "--query", "grosse mailbox:inbox", "--yes").want(0)
	if n := len(s.mailbox(s.bob, "INBOX").Messages()); n != 1 {
		t.Errorf("bob has %d messages, want the one that the query finds", n)
	}
	r := s.run("restore", "--to", "bob", "--query", "nosuchword", "--yes").want(1)
	if !strings.Contains(r.err, "nosuchword finds") {
		t.Errorf("it says %q", r.err)
	}
}

// TestSearchOnATerminal: lines fit the terminal's width, and are coloured unless
// NO_COLOR is set.
func TestSearchOnATerminal(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	for _, columns := range []uint16{60, 80, 160} {
		for _, env := range []string{"NO_COLOR=", "NO_COLOR=1"} {
			s.env = []string{env, "TERM=xterm"}
			term := openTerminal(t, columns)
			s.startOn(term, "search", "subject:inbox").wait().want(0)
			eventually(t, "it is shown", func() bool { return strings.Contains(term.String(), "5 messages found") })
			text := term.String()
			if got, want := strings.Contains(text, "\x1b[1m"), env == "NO_COLOR="; got != want {
				t.Errorf("with %s colour is %v: %q", env, got, text)
			}
			for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[2m"} {
				text = strings.ReplaceAll(text, code, "")
			}
			for _, line := range strings.Split(text, "\r\n") {
				if strings.HasPrefix(line, "    ") { // an ID, which is never cut
					continue
				}
				if w := runewidth.StringWidth(line); w > int(columns) {
					t.Errorf("on %d columns it shows %d: %q", columns, w, line)
				}
			}
		}
	}
}

// TestDaemonUpdatesIndex: soon after a run the index has its mail.
func TestDaemonUpdatesIndex(t *testing.T) {
	t.Parallel()
	s := newRestoreSite(t)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write("config.yaml", string(text)+"index: {enabled: true, path: words}\nschedule: '@every 1h'\n")
	p := s.start("run")
	path := filepath.Join(s.dir, "words")
	eventually(t, "the index is there", func() bool { _, err := os.Stat(path); return err == nil })
	eventually(t, "its update is logged", func() bool { return strings.Contains(p.err.String(), "index brought up to date") })
	if got := s.finds("bare"); len(got) != 10 {
		t.Errorf("it finds %q", got)
	}
	eventually(t, "bob's run ends", func() bool { return s.statusOf("bob").Last != nil }) // an interrupted run is not complete
	p.signal(os.Interrupt)
	p.wait().want(0)
}
