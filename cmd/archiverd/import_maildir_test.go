package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"archiverd/internal/testing/dovecot"
)

// maildirServer is a Dovecot that stores alice's mail as a Maildir.
type maildirServer struct {
	*dovecot.Server
	alice     *dovecot.User
	client    *dovecot.Client // of alice
	mailboxes []string
}

// newMaildirServer starts a Dovecot in one of its layouts of a Maildir and fills it.
func newMaildirServer(t *testing.T, settings string) *maildirServer {
	t.Helper()
	srv := dovecot.StartWith(t, dovecot.Options{Format: "maildir", Extra: settings})
	u := srv.User(t, "alice")
	s := &maildirServer{Server: srv, alice: u, client: u.Dial(t)}
	corpus := dovecot.Corpus(9, 120)
	s.client.Load(corpus)
	for _, m := range corpus {
		s.mailboxes = append(s.mailboxes, m.Name)
	}
	return s
}

// addRealMail adds the real mail that a Dovecot serves just as it is stored: it
// accepts no empty message, changes NUL, and stores mixed line ends as they are.
func (s *maildirServer) addRealMail(t *testing.T) {
	t.Helper()
	var msgs []dovecot.Msg
	for i, f := range dovecot.Mail(t) {
		if len(f.Data) > 0 && len(f.Data) < 20_000 && evenLines(f.Data) && !bytes.Contains(f.Data, []byte{0}) {
			msgs = append(msgs, dovecot.Msg{Body: f.Data, Date: time.Date(2001, 2, 3, 4, 5, i, 0, time.UTC), Flags: []string{"real"}})
		}
	}
	s.client.Create("Real")
	s.client.Append("Real", msgs...)
	s.mailboxes = append(s.mailboxes, "Real")
}

// compare checks that account old has what alice's mailboxes have on the server.
func (s *maildirServer) compare(t *testing.T, site *site) {
	t.Helper()
	for _, name := range s.mailboxes {
		equalLines(t, name, site.archiveLines("old", name), serverLines(s.client, name))
	}
}

// TestImportMaildir imports the Maildir of a Dovecot, in both layouts: the archive
// has what the server serves, and a restore puts it into another account.
func TestImportMaildir(t *testing.T) {
	t.Parallel()
	t.Run("nested", func(t *testing.T) {
		t.Parallel()
		testImportMaildir(t, newMaildirServer(t, "mail_save_crlf = no"))
	})
	t.Run("Maildir++, CRLF", func(t *testing.T) {
		t.Parallel()
		srv := newMaildirServer(t, plusLayout(t))
		srv.addRealMail(t)
		testImportMaildir(t, srv)
	})
}

func testImportMaildir(t *testing.T, srv *maildirServer) {
	s := newSite(t)
	s.configure("accounts:\n", s.account(srv.User(t, "bob"), srv.Addr, "tls_ca_file: "+srv.CAFile))
	run := s.importFiles(0, "--account", "old", srv.alice.Store())
	srv.compare(t, s)
	if len(run.Mailboxes) != len(srv.mailboxes) {
		t.Errorf("%d mailboxes, want %d", len(run.Mailboxes), len(srv.mailboxes))
	}
	importAgainAfterChanges(t, s, srv)

	s.run("restore", "--from", "old", "--to", "bob", "--mailbox", "*/*", "--yes").want(0)
	bob := srv.AddUser(t, "bob", "another").Dial(t)
	for _, name := range srv.mailboxes {
		if strings.Contains(name, "/") {
			equalLines(t, name, serverLines(bob, name), s.archiveLines("old", name))
		}
	}
	s.run("verify", "old").want(0)
}

// importAgainAfterChanges: a second import archives changed flags, and keeps the
// message that the source has no more.
func importAgainAfterChanges(t *testing.T, s *site, srv *maildirServer) {
	t.Helper()
	uids := []uint32{1, 2, 7}
	srv.client.Store("INBOX", `FLAGS (\Answered new)`, uids...)
	srv.client.Expunge("Sent", 1)
	sent := len(s.archiveLines("old", "Sent"))
	again := s.importFiles(0, "--account", "old", srv.alice.Store())
	if again.Sum.Added != 0 || again.Sum.FlagsChanged != len(uids) {
		t.Errorf("three with other flags: %+v", again.Sum)
	}
	if got := len(s.archiveLines("old", "Sent")); got != sent {
		t.Errorf("after an expunge %d messages, want %d", got, sent)
	}
	srv.mailboxes = slices.DeleteFunc(srv.mailboxes, func(n string) bool { return n == "Sent" })
	srv.compare(t, s)
}

// evenLines reports whether all lines of a text end in CRLF, or all in LF.
func evenLines(text []byte) bool {
	crlf, lf, cr := bytes.Count(text, []byte("\r\n")), bytes.Count(text, []byte("\n")), bytes.Count(text, []byte("\r"))
	return cr == crlf && (crlf == lf || crlf == 0)
}

// plusLayout is the setting of Dovecot's own layout of a Maildir.
func plusLayout(t *testing.T) string {
	out, err := exec.Command("dovecot", "--version").Output()
	if err == nil && !bytes.HasPrefix(out, []byte("2.3.")) {
		return "mailbox_list_layout = maildir++"
	}
	return "mail_location = maildir:~/mail"
}
