package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/archive"
	"archiverd/internal/commit"
	"archiverd/internal/config"
	"archiverd/internal/setup"
	"archiverd/internal/testing/dovecot"
	"archiverd/state"
	"archiverd/sync"
	"archiverd/sync/remote"
)

// syncedLongAgo archives the first account of the site's configuration, 400 days ago.
func (s *site) syncedLongAgo() {
	s.t.Helper()
	cfg, err := config.Load(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	acc, err := setup.Account(cfg, &cfg.Accounts[0], nil)
	if err != nil {
		s.t.Fatal(err)
	}
	now := func() time.Time { return time.Now().AddDate(0, 0, -400) }
	w, err := archive.OpenWriter(s.archive, archive.Options{Now: now})
	if err != nil {
		s.t.Fatal(err)
	}
	db, _, err := state.OpenStale(cfg.State.Path, w)
	if err == nil {
		_, err = db.CatchUp()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	store := commit.New(w, db, log)
	run, err := (&sync.Job{Account: acc, Committer: store, Log: log, Now: now}).Run(s.t.Context())
	store.Close()
	if err := errors.Join(err, db.Close(), w.Close()); err != nil || !run.OK() {
		s.t.Fatalf("%v, %+v", err, run)
	}
}

// the mail of TestEverydayUse
var (
	oldDate = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)
	evil    = "From: =?utf-8?Q?J=C3=B6rg=1B[2J?= <j@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe=0A=E2=80=AE?=\r\n" +
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe \x1b[31mtext\r\n--b\r\nContent-Type: application/pdf\r\n" +
		"Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"
)

// TestEverydayUse archives an account and keeps house on its server, and listens in:
// all basic commands of IMAP are in use, and none that takes away more than what
// it names.
func TestEverydayUse(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", dovecot.Msg{Date: oldDate, Body: []byte(evil)}, dovecot.Msg{Date: oldDate, Flags: []string{`\Flagged`}, Body: []byte("Subject: keep\r\n\r\nme\r\n")},
		dovecot.Msg{Date: oldDate, Flags: []string{`\Seen`}, Body: []byte("Subject: go\r\n\r\nnow\r\n")}, dovecot.Msg{Body: []byte("Subject: young\r\n\r\n\r\n")})
	c.Create("Lists")
	c.Append("Lists", dovecot.Msg{Body: []byte("Subject: list\r\n\r\n\r\n")})
	s := newSite(t)
	tap := newProxy(t, srv.PlainAddr)
	s.configure("accounts:\n", s.plain(tap.Addr, u, "auth: login"))
	s.syncedLongAgo()
	run := func(status int, args ...string) *result {
		t.Helper()
		r := s.run(append([]string{"remote"}, args...)...).want(status)
		readable(t, "standard error of remote "+args[0], r.err)
		if !slices.Contains(args, "--raw") && !slices.Contains(args, "--json") {
			readable(t, "remote "+args[0], r.out)
		}
		return r
	}

	run(0, "list", "alice", "--capabilities").prints("INBOX", "Lists", `\HasNoChildren`, "capabilities: ", " UIDPLUS ")
	var listed struct{ Mailboxes []remoteMailbox }
	run(0, "list", "alice", "--json").decode(&listed)
	if m := listed.Mailboxes; len(m) != 2 || m[0].Mailbox != "INBOX" || m[0].Messages != 4 || m[0].UIDNext != 5 || m[0].UIDValidity == 0 || m[0].Delimiter != "/" {
		t.Errorf("listed is %+v", m)
	}

	run(0, "search", "alice", "INBOX").prints(`Jörg\x1b[2J <j@example.org>`, `Grüße\n\u202e`, "keep", "go", "young", `\Flagged`, "2020-03-01 12:00")
	run(0, "search", "alice", "inbox", "SUBJECT", "Grüße", "OR", "SEEN", "UNFLAGGED").prints("       1  2020-03-01 12:00")
	run(0, "search", "alice", "INBOX", "--limit", "1").prints("3 more before these", "young")
	var found struct {
		Before   int
		Messages []remote.Message
	}
	run(0, "search", "alice", "INBOX", "SEEN", "--json").decode(&found)
	if m := found.Messages; len(m) != 1 || m[0].UID != 3 || m[0].Subject != "go" || m[0].Size != 20 || !m[0].InternalDate.Equal(oldDate) {
		t.Errorf("found is %+v", found)
	}
	run(1, "search", "alice", "INBOX", "NONSENSE").says("alice", "INBOX")
	run(2, "search", "alice", "Nope").says(`mailbox "Nope"`, "archiverd remote list alice")

	run(0, "show", "alice", "INBOX", "1").prints(`From: Jörg\x1b[2J`, "Received: 2020-03-01 12:00:00 +0000\n", `the \x1b[31mtext`, "2  application/pdf", `UID: 1 in mailbox "INBOX"`)
	if got := run(0, "show", "alice", "INBOX", "1", "--raw").out; got != evil {
		t.Errorf("--raw writes %q", got)
	}
	if got := run(0, "show", "alice", "INBOX", "1", "--part", "2").out; got != "PDF" {
		t.Errorf("--part 2 writes %q", got)
	}
	saved := filepath.Join(s.dir, "saved")
	run(0, "show", "alice", "INBOX", "1", "--save", saved).prints("saved part 2, 3 B: " + filepath.Join(saved, "a.pdf"))
	if got := string(read(t, filepath.Join(saved, "a.pdf"))); got != "PDF" {
		t.Errorf("--save writes %q", got)
	}
	run(0, "show", "alice", "INBOX", "1", "--all-headers").prints("Content-Type: multipart/")
	run(0, "show", "alice", "INBOX", "1", "--json").prints(`"uid": 1`, `"name": "a.pdf"`)
	run(2, "show", "alice", "INBOX", "77").says(`mailbox "INBOX", UID 77`)
	run(2, "show", "alice", "INBOX", "x").says(`"x" is not a UID`)
	if m := c.Read("INBOX"); slices.Contains(m[0].Flags, `\Seen`) {
		t.Error("showing a message has made it read")
	}

	run(0, "create", "alice", "Ärger/2026")
	run(1, "create", "alice", "Ärger/2026").says("alice", "Ärger/2026")
	run(0, "rename", "alice", "Ärger", "Alter Ärger")
	run(1, "rename", "alice", "INBOX", "Old").says("INBOX")
	if got, want := c.Do(`LSUB "" "*"`), []string{`* LSUB () "/" "Alter &AMQ-rger"`, `* LSUB () "/" "Alter &AMQ-rger/2026"`}; !slices.Equal(got, want) {
		t.Errorf("subscribed: %q, want %q", got, want)
	}
	run(1, "delete", "alice", "Alter Ärger", "--yes").says(`"Alter Ärger/2026"`)
	run(2, "delete", "alice", "Alter Ärger/2026").says("--yes")
	run(0, "delete", "alice", "Alter Ärger/2026", "--yes").prints(`mailbox "Alter Ärger/2026" with 0 messages was deleted`)

	c.Append("Lists", dovecot.Msg{Body: []byte("Subject: new\r\n\r\n\r\n")})
	run(1, "delete", "alice", "Lists", "--yes").says(`mailbox "Lists", UID 2: it is not in the archive: run `+"`archiverd sync alice` first", "1 of its 2 messages")
	s.run("sync").want(0)
	run(0, "delete", "alice", "Lists", "--yes").prints(`mailbox "Lists" with 2 messages was deleted`)

	run(2, "purge", "alice").says("older-than")
	run(2, "purge", "alice", "--older-than", "23h").says("less than a day")
	run(2, "purge", "alice", "--older-than", "1y", "--delete").says("--yes")
	run(0, "purge", "alice", "--older-than", "1y").prints("2 messages (", "would be deleted", "--delete does it")
	run(0, "purge", "alice", "--older-than", "401d").prints("0 messages (0 B) would be deleted")
	if n := len(c.Read("INBOX")); n != 4 {
		t.Fatalf("a dry run has left %d messages", n)
	}
	run(0, "purge", "alice", "INBOX", "--older-than", "52w", "--delete", "--yes").prints(`mailbox "INBOX": 2 deleted`, "2 messages deleted from "+tap.Addr)
	if m := c.Read("INBOX"); len(m) != 2 || m[0].UID != 2 || m[1].UID != 4 {
		t.Errorf("the server has %+v", m)
	}
	if run := s.sync(); run.Sum.Gone != 2 || run.Sum.Archived != 2 {
		t.Errorf("the sync after it: %+v", run.Sum)
	}

	file, err := filepath.Glob(filepath.Join(s.archive, "alice", "INBOX", "2020-03", "*.2.eml"))
	if err != nil || len(file) != 1 {
		t.Fatalf("%v, %q", err, file)
	}
	good := read(t, file[0])
	if err := os.WriteFile(file[0], []byte("Subject: keep\r\n\r\nmE\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(1, "purge", "alice", "--older-than", "1y", "--flagged").prints(`stays: mailbox "INBOX", UID 2: `, "damaged: run `archiverd verify alice`")
	if err := os.WriteFile(file[0], good, 0o600); err != nil {
		t.Fatal(err)
	}

	said := map[string]bool{}
	for _, cmd := range tap.commands() {
		name, rest, _ := strings.Cut(cmd, " ")
		if name == "UID" {
			second, _, _ := strings.Cut(rest, " ")
			name += " " + second
		}
		said[name] = true
	}
	for _, name := range []string{"LOGIN", "CAPABILITY", "NOOP", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "LOGOUT", "UID EXPUNGE"} {
		if !said[name] {
			t.Errorf("%s is not said", name)
		}
	}
	for _, name := range []string{"EXPUNGE", "CLOSE"} {
		if said[name] {
			t.Errorf("%s is said", name)
		}
	}
}

// TestRemoteDeleteAsks deletes a mailbox only when the person says yes.
func TestRemoteDeleteAsks(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Create("Old")
	c.Append("Old", dovecot.Msg{Body: []byte("A: b\r\n\r\n\r\n")})
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, u))
	s.run("sync").want(0)
	for _, answer := range []struct {
		typed  string
		status int
		shows  string
	}{{"\n", 1, "nothing was deleted"}, {"yes\n", 0, `mailbox "Old" with 1 message was deleted from ` + srv.Addr}} {
		term := openTerminal(t, 80)
		p := s.startOn(term, "remote", "delete", "alice", "Old")
		eventually(t, "it asks", func() bool {
			return strings.Contains(term.String(), `Delete mailbox "Old" with 1 message from `+srv.Addr+`?`) && strings.Contains(term.String(), "[y/N]")
		})
		if _, err := term.far.WriteString(answer.typed); err != nil {
			t.Fatal(err)
		}
		p.wait().want(answer.status)
		eventually(t, "it shows "+answer.shows, func() bool { return strings.Contains(term.String(), answer.shows) })
	}
	s.run("sync").want(0)
}

// TestParseAge reads how old messages must be.
func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{"1d": day, "90d": 90 * day, "12w": 84 * day, "2y": 730 * day, "36h": 36 * time.Hour, "1000h30m": 1000*time.Hour + 30*time.Minute} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "0d", "-3d", "23h59m", "365", "3x", "1.5y", "400y", "99999999999d", "-400d", "1 d"} {
		if got, err := parseAge(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}
