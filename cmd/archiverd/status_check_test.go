package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"archiverd/internal/testing/dovecot"
	"archiverd/sync/check"
)

// asked is a check as a program reads it.
type asked struct {
	Accounts []struct {
		Account   string
		Error     string
		Sum       check.Counts
		Mailboxes []struct {
			Mailbox string
			Error   string
			check.Counts
			UIDs map[string]string
		}
	}
}

// The check against a real server: beside the daemon's archive, after changes,
// with an account that can't be reached, and of a copy of the archive.
func TestStatusCheck(t *testing.T) {
	t.Parallel()
	srv := dovecot.Start(t)
	alice, bob := srv.User(t, "alice"), srv.User(t, "bob")
	client := alice.Dial(t)
	client.Load(dovecot.Corpus(7, 60))
	s := newSite(t)
	s.configure("accounts:\n", s.overTLS(srv, alice, "schedule: '@daily'"))
	s.run("status", "--check").want(1).says("no archive here")
	run := s.sync()
	first := s.run("status", "--check").want(0).prints("alice: BALANCES: all that the server has is archived")
	if strings.Contains(first.out, "note") {
		t.Errorf("a check with nothing to say says:\n%s", first.out)
	}

	client.Append("INBOX", dovecot.Msg{Body: []byte("Subject: since\r\n\r\nhello\r\n")})
	r := s.run("status", "--check", "alice").want(0).prints("alice: BALANCES as of the last run: 1 message arrived since", "note: mailbox INBOX: 1 message, UID")
	var got asked
	s.run("status", "--check", "--json").want(0).decode(&got)
	if acc := got.Accounts[0]; acc.Sum.Arrived != 1 || acc.Sum.Archived != run.Sum.Server || acc.Sum.Server != run.Sum.Server+1 {
		t.Errorf("a message came, and the check says %+v\n%s", acc, r.out)
	}

	// A copy of the archive has no run: messages that it does not have are missing.
	copied := filepath.Join(s.dir, "copy")
	if err := os.CopyFS(copied, os.DirFS(s.archive)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "state.db")); err != nil {
		t.Fatal(err)
	}
	s.run("status", "--check", "--archive", copied).want(1).prints("note: no state database", "MISSING in the archive: 1 message", "whether they arrived since the last run is not known")

	// One account can't be reached; the other is checked all the same.
	s.configure("accounts:\n", s.overTLS(srv, alice), s.account(bob, srv.Addr)) // bob does not trust the certificate
	s.run("status", "--check").want(1).prints("bob: FAILED: ", "tls_ca_file", "alice: BALANCES as of")
	s.run("status", "--check", "carol").want(2).says(`no account "carol"`)
	s.run("status", "carol").want(2).says(`no account "carol"`)
	if r := s.run("status", "alice").want(0); strings.Contains(r.out, "bob") {
		t.Errorf("status of alice speaks of bob:\n%s", r.out)
	}
	s.configure("accounts:\n", s.overTLS(srv, alice))
	s.sync()
	s.run("status", "--check").want(0).prints("BALANCES: all")

	// While the daemon has the state database open, it provides the last run.
	s.configure("accounts:\n", s.overTLS(srv, alice, "schedule: '0 4 1 1 *'"))
	client.Append("INBOX", dovecot.Msg{Body: []byte("Subject: late\r\n\r\nhello\r\n")})
	daemon := s.start("run")
	eventually(t, "the daemon answers", func() bool { return s.run("status").status == 0 && s.status().Daemon != nil })
	if r := s.run("status", "--check").want(0).prints("BALANCES"); strings.Contains(r.out, "not known") {
		t.Errorf("the daemon was not asked for the last run:\n%s", r.out)
	}
	daemon.signal(syscall.SIGTERM)
	daemon.wait().want(0)
}
