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
	db, _, err := state.Open(cfg.State.Path, w)
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

// remoteStory is the site of TestEverydayUse: a sync of 400 days ago archived the mail
// that alice has on a Dovecot, and a proxy records every command.
type remoteStory struct {
	*site
	client *dovecot.Client // of alice
	tap    *proxy
}

// oldDate is the INTERNALDATE of the messages that a purge may delete.
var oldDate = time.Date(2020, 3, 1, 12, 0, 0, 0, time.UTC)

// remoteEvil is a message with an attachment whose header and text have control
// characters.
const remoteEvil = "From: =?utf-8?Q?J=C3=B6rg=1B[2J?= <j@example.org>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe=0A=E2=80=AE?=\r\n" +
	"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe \x1b[31mtext\r\n--b\r\nContent-Type: application/pdf\r\n" +
	"Content-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"

func newRemoteStory(t *testing.T) *remoteStory {
	t.Helper()
	srv := dovecot.Start(t)
	u := srv.User(t, "alice")
	c := u.Dial(t)
	c.Append("INBOX", dovecot.Msg{Date: oldDate, Body: []byte(remoteEvil)}, dovecot.Msg{Date: oldDate, Flags: []string{`\Flagged`}, Body: []byte("Subject: keep\r\n\r\nme\r\n")},
		dovecot.Msg{Date: oldDate, Flags: []string{`\Seen`}, Body: []byte("Subject: go\r\n\r\nnow\r\n")}, dovecot.Msg{Body: []byte("Subject: young\r\n\r\n\r\n")})
	c.Create("Lists")
	c.Append("Lists", dovecot.Msg{Body: []byte("Subject: list\r\n\r\n\r\n")})
	s := &remoteStory{site: newSite(t), client: c, tap: newProxy(t, srv.PlainAddr)}
	s.configure("accounts:\n", s.plain(s.tap.Addr, u, "auth: login"))
	s.syncedLongAgo()
	return s
}

// remote runs a command of archiverd remote. What it prints for a person has no
// control characters.
func (s *remoteStory) remote(status int, args ...string) *result {
	s.t.Helper()
	r := s.run(append([]string{"remote"}, args...)...).want(status)
	checkPrintable(s.t, "standard error of remote "+args[0], r.err)
	if !slices.Contains(args, "--raw") && !slices.Contains(args, "--json") {
		checkPrintable(s.t, "remote "+args[0], r.out)
	}
	return r
}

// TestEverydayUse archives an account and manages its mail on the server. All basic
// commands of IMAP are sent, and no command that deletes more than it names.
func TestEverydayUse(t *testing.T) {
	t.Parallel()
	s := newRemoteStory(t)
	s.listMailboxes()
	s.searchMessages()
	s.showMessage()
	s.createRenameDelete()
	s.deleteOnlyArchivedMailbox()
	s.purgeOldMessages()
	s.purgeKeepsDamagedMessage()
	s.checkCommands()
}

func (s *remoteStory) listMailboxes() {
	s.t.Helper()
	s.remote(0, "list", "alice", "--capabilities").prints("INBOX", "Lists", `\HasNoChildren`, "capabilities: ", " UIDPLUS ")
	var listed struct{ Mailboxes []remoteMailbox }
	s.remote(0, "list", "alice", "--json").decode(&listed)
	if m := listed.Mailboxes; len(m) != 2 || m[0].Mailbox != "INBOX" || m[0].Messages != 4 || m[0].UIDNext != 5 || m[0].UIDValidity == 0 || m[0].Delimiter != "/" {
		s.t.Errorf("listed is %+v", m)
	}
}

func (s *remoteStory) searchMessages() {
	s.t.Helper()
	s.remote(0, "search", "alice", "INBOX").prints(`Jörg\x1b[2J <j@example.org>`, `Grüße\n\u202e`, "keep", "go", "young", `\Flagged`, "2020-03-01 12:00")
	s.remote(0, "search", "alice", "inbox", "SUBJECT", "Grüße", "OR", "SEEN", "UNFLAGGED").prints("       1  2020-03-01 12:00")
	s.remote(0, "search", "alice", "INBOX", "--limit", "1").prints("3 more before these", "young")
	var found struct {
		Before   int
		Messages []remote.Message
	}
	s.remote(0, "search", "alice", "INBOX", "SEEN", "--json").decode(&found)
	if m := found.Messages; len(m) != 1 || m[0].UID != 3 || m[0].Subject != "go" || m[0].Size != 20 || !m[0].InternalDate.Equal(oldDate) {
		s.t.Errorf("found is %+v", found)
	}
	s.remote(1, "search", "alice", "INBOX", "NONSENSE").says("alice", "INBOX")
	s.remote(2, "search", "alice", "Nope").says(`mailbox "Nope"`, "archiverd remote list alice")
}

// showMessage shows a message in every form, and does not set its \Seen flag.
func (s *remoteStory) showMessage() {
	s.t.Helper()
	s.remote(0, "show", "alice", "INBOX", "1").prints(`From: Jörg\x1b[2J`, "Received: 2020-03-01 12:00:00 +0000\n", `the \x1b[31mtext`, "2  application/pdf", `UID: 1 in mailbox "INBOX"`)
	if got := s.remote(0, "show", "alice", "INBOX", "1", "--raw").out; got != remoteEvil {
		s.t.Errorf("--raw writes %q", got)
	}
	if got := s.remote(0, "show", "alice", "INBOX", "1", "--part", "2").out; got != "PDF" {
		s.t.Errorf("--part 2 writes %q", got)
	}
	saved := filepath.Join(s.dir, "saved")
	s.remote(0, "show", "alice", "INBOX", "1", "--save", saved).prints("saved part 2, 3 B: " + filepath.Join(saved, "a.pdf"))
	if got := string(read(s.t, filepath.Join(saved, "a.pdf"))); got != "PDF" {
		s.t.Errorf("--save writes %q", got)
	}
	s.remote(0, "show", "alice", "INBOX", "1", "--all-headers").prints("Content-Type: multipart/")
	s.remote(0, "show", "alice", "INBOX", "1", "--json").prints(`"uid": 1`, `"name": "a.pdf"`)
	s.remote(2, "show", "alice", "INBOX", "77").says(`mailbox "INBOX", UID 77`)
	s.remote(2, "show", "alice", "INBOX", "x").says(`"x" is not a UID`)
	if m := s.client.Read("INBOX"); slices.Contains(m[0].Flags, `\Seen`) {
		s.t.Error("showing a message has made it read")
	}
}

func (s *remoteStory) createRenameDelete() {
	s.t.Helper()
	s.remote(0, "create", "alice", "Ärger/2026")
	s.remote(1, "create", "alice", "Ärger/2026").says("alice", "Ärger/2026")
	s.remote(0, "rename", "alice", "Ärger", "Alter Ärger")
	s.remote(1, "rename", "alice", "INBOX", "Old").says("INBOX")
	if got, want := s.client.Do(`LSUB "" "*"`), []string{`* LSUB () "/" "Alter &AMQ-rger"`, `* LSUB () "/" "Alter &AMQ-rger/2026"`}; !slices.Equal(got, want) {
		s.t.Errorf("subscribed: %q, want %q", got, want)
	}
	s.remote(1, "delete", "alice", "Alter Ärger", "--yes").says(`"Alter Ärger/2026"`)
	s.remote(2, "delete", "alice", "Alter Ärger/2026").says("--yes")
	s.remote(0, "delete", "alice", "Alter Ärger/2026", "--yes").prints(`mailbox "Alter Ärger/2026" with 0 messages was deleted`)
}

// deleteOnlyArchivedMailbox: a mailbox is deleted only if the archive has all of its
// messages.
func (s *remoteStory) deleteOnlyArchivedMailbox() {
	s.t.Helper()
	s.client.Append("Lists", dovecot.Msg{Body: []byte("Subject: new\r\n\r\n\r\n")})
	s.remote(1, "delete", "alice", "Lists", "--yes").says(`mailbox "Lists", UID 2: it is not in the archive: run `+"`archiverd sync alice` first", "1 of its 2 messages")
	s.run("sync").want(0)
	s.remote(0, "delete", "alice", "Lists", "--yes").prints(`mailbox "Lists" with 2 messages was deleted`)
}

// purgeOldMessages: only --delete --yes deletes, and only old messages without \Flagged.
func (s *remoteStory) purgeOldMessages() {
	s.t.Helper()
	s.remote(2, "purge", "alice").says("--older-than AGE is missing")
	s.remote(2, "purge", "alice", "--older-than", "23h").says("less than a day")
	s.remote(2, "purge", "alice", "--older-than", "1y", "--delete").says("--yes")
	s.remote(0, "purge", "alice", "--older-than", "1y").prints("2 messages (", "would be deleted", "--delete does it")
	s.remote(0, "purge", "alice", "--older-than", "401d").prints("0 messages (0 B) would be deleted")
	if n := len(s.client.Read("INBOX")); n != 4 {
		s.t.Fatalf("after a dry run the server has %d messages", n)
	}
	s.remote(0, "purge", "alice", "INBOX", "--older-than", "52w", "--delete", "--yes").prints(`mailbox "INBOX": 2 deleted`, "2 messages deleted from "+s.tap.Addr)
	if m := s.client.Read("INBOX"); len(m) != 2 || m[0].UID != 2 || m[1].UID != 4 {
		s.t.Errorf("the server has %+v", m)
	}
	if run := s.sync(); run.Sum.Gone != 2 || run.Sum.Archived != 2 {
		s.t.Errorf("the sync after it: %+v", run.Sum)
	}
}

func (s *remoteStory) purgeKeepsDamagedMessage() {
	s.t.Helper()
	file, err := filepath.Glob(filepath.Join(s.archive, "alice", "INBOX", "2020-03", "*.2.eml"))
	if err != nil || len(file) != 1 {
		s.t.Fatalf("%v, %q", err, file)
	}
	good := read(s.t, file[0])
	if err := os.WriteFile(file[0], []byte("Subject: keep\r\n\r\nmE\r\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.remote(1, "purge", "alice", "--older-than", "1y", "--flagged").prints(`stays: mailbox "INBOX", UID 2: `, "damaged: run `archiverd verify alice`")
	if err := os.WriteFile(file[0], good, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// checkCommands checks which commands were sent in the whole story: never EXPUNGE or
// CLOSE, which delete every message with \Deleted, also one that another client marked.
func (s *remoteStory) checkCommands() {
	s.t.Helper()
	sent := map[string]bool{}
	for _, cmd := range s.tap.commands() {
		name, rest, _ := strings.Cut(cmd, " ")
		if name == "UID" {
			second, _, _ := strings.Cut(rest, " ")
			name += " " + second
		}
		sent[name] = true
	}
	for _, name := range []string{"LOGIN", "CAPABILITY", "NOOP", "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "LOGOUT", "UID EXPUNGE"} {
		if !sent[name] {
			s.t.Errorf("%s is not sent", name)
		}
	}
	for _, name := range []string{"EXPUNGE", "CLOSE"} {
		if sent[name] {
			s.t.Errorf("%s is sent", name)
		}
	}
}

// TestRemoteDeleteAsks: a mailbox is deleted only after the person has typed yes.
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
